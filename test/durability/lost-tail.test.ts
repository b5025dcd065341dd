// The newest log of a real node is cut while the node is down after a clean stop: the node knows what it lost. It is
// ready, takes records behind the lost ones, and over a kill, a stop and two more starts says the same of every record:
// served as it was written, or refused as damaged, never missing, never another's. Longer: `SEEDS=100 bun test <this file>`.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import {
  appendRecords,
  describeHarm,
  describeSeen,
  filesOf,
  harmedCopy,
  readBack,
  writeFolder,
  type Harm,
  type Written,
} from "./flip-folder.ts";
import { startNodeProcess, type NodeProcess } from "./node-process.ts";
import { seededRandom } from "./seeded-random.ts";

const seeds = Number(process.env["SEEDS"] ?? 3);
const firstSeed = Number(process.env["SEED"] ?? 1);
const command = [process.execPath, join(import.meta.dirname, "small-files-node.ts")];
const appended = 10;

let scratch = "";
let folder = "";
let written: readonly Written[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "rivulet-lost-tail-"));
  folder = join(scratch, "stopped");
  await using node = await startNodeProcess({ data: folder, command });
  written = await writeFolder(node, { random: seededRandom(7), bytes: 3_300_000 });
  await node.stop();
}, 60_000);

afterAll(() => rm(scratch, { recursive: true, force: true }));

test(
  "records lost from the newest log are refused, and their offsets are never given to others",
  async () => {
    const wal = (await filesOf(folder)).findLast(({ name }) => /journal-\d+\.db-wal$/.test(name))!;
    expect(wal.bytes).toBeGreaterThan(400_000);
    for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
      const byte = Math.floor(seededRandom(seed)() * wal.bytes);
      const harm: Harm = { kind: "cut", file: wal.name, byte };
      const copy = join(scratch, "copy");
      await harmedCopy(folder, copy, harm);
      const complaints = await life(copy);
      expect([seed, describeHarm(harm), ...complaints]).toEqual([seed, describeHarm(harm)]);
      await rm(copy, { recursive: true, force: true });
    }
  },
  30_000 + seeds * 5_000,
);

test("without the index of the stop nobody can tell where the logs ended: no start goes on from there", async () => {
  const wal = (await filesOf(folder)).findLast(({ name }) => /journal-\d+\.db-wal$/.test(name))!;
  const copy = join(scratch, "endless");
  await harmedCopy(folder, copy, { kind: "cut", file: wal.name, byte: wal.bytes >> 1 });
  await rm(join(copy, "journal", "clean-stop.index"));
  for (let start = 1; start <= 2; start++) {
    const words = await startNodeProcess({ data: copy, command, until: "/livez" }).then(
      () => "it started",
      (thrown: unknown) => String(thrown),
    );
    expect(words).toContain(basename(wal.name, ".db-wal"));
    expect(words).toContain("nobody can tell where the logs ended");
  }
}, 20_000);

/** Write, kill -9, start, stop, start; what was said wrong. */
async function life(data: string): Promise<readonly string[]> {
  let known = written;
  let refused = -1;
  const complaints: string[] = [];
  for (const ending of ["killHard", "stop", "stop"] as const) {
    await using node = await startNodeProcess({ data, command });
    if (known === written) known = [...written, ...(await appendRecords(node, written, appended))];
    const seen = await readBack(node.url, known);
    const codes = new Set(seen.refused.map(({ code }) => code));
    codes.delete("storage_damaged");
    const same = refused === -1 || refused === seen.refused.length;
    refused = seen.refused.length;
    if (seen.missing.length > 0 || seen.wrong.length > 0 || codes.size > 0 || !same)
      complaints.push(`${describeSeen(seen)}, codes ${[...codes].join(", ")}`, ...seen.wrong);
    // A file whose lost rows held nothing that lives is gone at the next start, and with it all that there is to tell.
    if (refused > 0) complaints.push(...(await untold(node)));
    await node[ending]();
  }
  return complaints;
}

/** The operator hears of it in the metrics and in the log. */
async function untold(node: NodeProcess): Promise<readonly string[]> {
  const metrics = await (await fetch(`${node.url}/metrics`)).text();
  const counted = /^rivulet_journal_damage(?:\{.*\})? [1-9]/m.test(metrics);
  return counted && node.output().includes("missing") ? [] : ["neither metrics nor log tell of it"];
}
