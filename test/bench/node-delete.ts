// Deleting records frees the disk: bytes allocated before, right after, and when the janitor is done.

import { startNodeProcess } from "../durability/node-process.ts";
import { createTopic, fill, inFolder } from "./node-folder.ts";
import { allocatedBytes } from "./process-usage.ts";
import type { BenchReport } from "./report.ts";

const topic = "deleted";
const patienceMs = 60_000;
/** For the janitor to end what it has begun. */
const restMs = 2_000;

export async function deleteSection(
  report: BenchReport,
  { gigabytes }: { readonly gigabytes: number },
): Promise<void> {
  await inFolder(async (data) => {
    await using node = await startNodeProcess({ data });
    await createTopic(node.url, { name: topic, partitions: 1 });
    const written = await fill(node.url, topic, Math.min(gigabytes, 0.4) * 1e9);
    const before = await allocatedBytes(data);
    const startedAt = performance.now();
    await deleteAll(node.url);
    const answeredMs = performance.now() - startedAt;
    const after = await untilFreed(data, report.smoke ? 500 : patienceMs, before / 2);
    await Bun.sleep(report.smoke ? 0 : restMs);
    report.table("Deleted records leave the disk", [
      {
        "MB written": written / 1e6,
        "MB on disk before": before / 1e6,
        "MB after": (await allocatedBytes(data)) / 1e6,
        "answered ms": answeredMs,
        "half free after ms": after,
      },
    ]);
    await node.stop();
  });
}

async function deleteAll(url: string): Promise<void> {
  const path = `${url}/v1/topics/${topic}/partitions/0/records`;
  const page = (await (await fetch(`${path}?from=latest`)).json()) as {
    readonly partitions: readonly { readonly highWatermark: number }[];
  };
  const end = page.partitions[0].highWatermark;
  const response = await fetch(`${path}?before=${end}`, { method: "DELETE" });
  if (!response.ok) throw new Error(`Cannot delete records: ${await response.text()}`);
  await response.arrayBuffer();
}

/** Milliseconds until the folder holds no more than `wanted` bytes; null: it never did. */
async function untilFreed(data: string, patience: number, wanted: number): Promise<number | null> {
  const startedAt = performance.now();
  for (;;) {
    const ms = performance.now() - startedAt;
    if ((await allocatedBytes(data)) <= wanted) return ms;
    if (ms > patience) return null;
    await Bun.sleep(20);
  }
}
