// Commits until the disk refuses; prints how many entries were acknowledged, the fault, and what comes after it.

import { Fault } from "../../src/errors.ts";
import { byLsn, diskIn, RowWriter } from "./disk-rows.ts";

const codeOf = (error: unknown): unknown =>
  error instanceof Fault ? [error.code, error.sideEffects] : String(error);

const writer = new RowWriter(diskIn(process.argv.at(-1)!));
await writer.disk.open();
await writer.roll();
await writer.commit([writer.replica(1)]);
const lsns: number[] = [];
let fault: unknown = null;
while (fault === null && lsns.length < 1_000) {
  const row = writer.entry(1, 20_000);
  try {
    await writer.commit([row]);
    lsns.push(row.lsn);
  } catch (error) {
    fault = codeOf(error);
    writer.lsn = row.lsn;
  }
}
const after = await writer.commit([writer.entry(1, 200_000)]).then(
  () => "committed",
  (error: unknown) => codeOf(error),
);
const { rows } = await writer.disk.read(byLsn(writer.active, 1, lsns));
console.log(JSON.stringify({ acknowledged: lsns.length, fault, after, readable: rows.length }));
process.exit(0);
