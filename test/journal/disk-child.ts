// Commits entries of replica 1 until it is killed; prints the last index whose commit has settled.

import { diskIn, RowWriter } from "./disk-rows.ts";

const writer = new RowWriter(diskIn(process.argv.at(-1)!));
await writer.disk.open();
await writer.roll();
await writer.commit([writer.replica(1)]);
// Bounded, so that it ends by itself when nobody kills it.
for (let n = 0; n < 1_000; n++) {
  const rows = Array.from({ length: 7 }, () => writer.entry(1, 2_000));
  await writer.commit(rows);
  console.log(rows.at(-1)!.idx);
}
process.exit(0);
