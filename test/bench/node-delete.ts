// Deleting records frees the disk: bytes allocated before, right after, and when the janitor is done.

import { startNodeProcess } from "../durability/node-process.ts";
import { createTopic, fill, inFolder } from "./node-folder.ts";
import { allocatedBytes } from "./process-usage.ts";
import type { BenchReport } from "./report.ts";

const topic = "deleted";
const patienceMs = 60_000;

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
    const after = await untilSettled(data, report.smoke ? 500 : patienceMs, before / 4);
    report.table("Deleted records leave the disk", [
      {
        "MB written": written / 1e6,
        "MB on disk before": before / 1e6,
        "MB after": after.bytes / 1e6,
        "answered ms": answeredMs,
        "freed after ms": after.freedMs,
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

/** Waits until the folder holds no more than `wanted` bytes, then until it stands still; freedMs null: it never did. */
async function untilSettled(
  data: string,
  patience: number,
  wanted: number,
): Promise<{ readonly bytes: number; readonly freedMs: number | null }> {
  const startedAt = performance.now();
  for (;;) {
    const bytes = await allocatedBytes(data);
    const ms = performance.now() - startedAt;
    if (bytes <= wanted) return { bytes, freedMs: ms };
    if (ms > patience) return { bytes, freedMs: null };
    await Bun.sleep(50);
  }
}
