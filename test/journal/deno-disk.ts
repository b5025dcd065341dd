// The disk on Deno: writes, reads, seals, removes, stops and starts again; prints what it saw. Run by deno.test.ts.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { lockFolder } from "../../src/journal/folder-lock.ts";
import { verifyFolder } from "../../src/journal/verify.ts";
import {
  byIndex,
  byLsn,
  diskIn,
  liveIn,
  RowWriter,
  sealedOf,
  summary,
  tempRoot,
} from "./disk-rows.ts";

const temp = tempRoot("deno");
const data = temp.dir("data");
const dir = join(data, "journal");
const held = lockFolder(data);
const writer = new RowWriter(diskIn(dir));
await writer.disk.open();
const first = await writer.roll();
await writer.commit([writer.replica(1)]);
for (let i = 0; i < 20; i++)
  await writer.commit([writer.entry(1, 5_000)], i % 2 === 0 ? "full" : "os");
const byRow = await writer.disk.read(byLsn(first, 1, [4, 5, 6]));
const output = sealedOf(1, writer.lsn - 1);
await writer.roll();
const head = await writer.disk.seal({ output, inputs: [liveIn(first, [[1, 3, 20]])] }, () => false);
await writer.disk.remove([first]);
const byPosition = await writer.disk.read(byIndex({ file: output, replica: 1 }, [10, 15]));
await writer.commit([writer.entry(1), writer.fact("cleanStop")]);
await writer.disk.close();
const second = diskIn(dir);
const found = await second.open();
const { entries, damage } = summary(found);
await second.close();
if ("lock" in held) held.lock.release();
const verified = verifyFolder(data);
temp.sweep();
rmSync(data, { recursive: true, force: true });
console.log(
  JSON.stringify({
    byRow: byRow.rows.map((row) => [row.lsn, row.batch!.bytes.length]),
    spans: head.spans.map((span) => [span.firstIndex, span.lastIndex]),
    byPosition: byPosition.rows.map((row) => row.idx),
    cleanStop: found.cleanStop,
    entries,
    damage,
    verified: "rows" in verified ? [verified.rows, verified.damage] : "held",
  }),
);
process.exit(0);
