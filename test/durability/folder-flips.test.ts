// Damage to the data folder of a real node, end to end: one bit flipped, or a file cut, at seeded random places of every
// file. `verify` names the damage, or it did no harm; a node that starts on the folder serves what was written and nothing
// else, what it cannot serve it answers with a problem, and a node that cannot start says which file stands in the way.
//
// Two folders: one after a clean stop, one after kill -9. After kill -9 a cut of the newest log is what a crash of the
// machine may leave, so there the log may be as it was at an earlier commit (a whole number of requests, no hole); after a
// clean stop it is known what must be there, and each lost record is refused. Longer: `SEEDS=200 bun test test/durability/folder-flips.test.ts`.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { complaintsOf, examine, type Ending } from "./flip-verdict.ts";
import {
  describeHarm,
  filesOf,
  harmedCopy,
  harmOf,
  writeFolder,
  type Harm,
  type Written,
} from "./flip-folder.ts";
import { startNodeProcess } from "./node-process.ts";
import { seededRandom } from "./seeded-random.ts";

/** Copies of each folder that are harmed in each way; together about 10 s. */
const seeds = Number(process.env["SEEDS"] ?? 4);
const firstSeed = Number(process.env["SEED"] ?? 1);
const folderBytes = 4_000_000;
const command = [process.execPath, join(import.meta.dirname, "small-files-node.ts")];

interface Origin {
  readonly folder: string;
  readonly written: readonly Written[];
}

const origins = new Map<Ending, Origin>();
let scratch = "";

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "rivulet-flips-"));
  for (const ending of ["stopped", "killed"] as const) {
    const folder = join(scratch, ending);
    await using node = await startNodeProcess({ data: folder, command });
    const written = await writeFolder(node, { random: seededRandom(7), bytes: folderBytes });
    await (ending === "stopped" ? node.stop() : node.killHard());
    origins.set(ending, { folder, written });
  }
}, 60_000);

afterAll(() => rm(scratch, { recursive: true, force: true }));

const harms = { flip: "with a flipped bit", cut: "with a file cut short" } as const;

for (const ending of ["stopped", "killed"] as const) {
  for (const kind of ["flip", "cut"] as const) {
    describe(`the folder of a node that was ${ending}, ${harms[kind]}`, () => {
      const patienceMs = 30_000 + seeds * 5_000;
      test("damage is named or harmless, never served", () => run(ending, kind), patienceMs);
    });
  }
}

async function run(ending: Ending, kind: Harm["kind"]): Promise<void> {
  const { folder, written } = origins.get(ending)!;
  const files = await filesOf(folder);
  const complaints: string[] = [];
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const harm = harmOf(files, { kind, random: seededRandom(seed * 4 + (kind === "cut" ? 1 : 0)) });
    const copy = join(scratch, "copy");
    await harmedCopy(folder, copy, harm);
    const found = await examine(copy, { written, command });
    for (const complaint of complaintsOf(found, { harm, ending, written })) {
      complaints.push(`SEED=${seed} SEEDS=1, ${describeHarm(harm)}: ${complaint}`);
    }
    await rm(copy, { recursive: true, force: true });
  }
  expect(complaints).toEqual([]);
}
