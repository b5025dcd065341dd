// The writer: one Worker that owns the active file. It takes inventory at the start, answers the first few reads, then
// one message a flush.
//
// Promise: messages run in order; an answer means that the rows are as durable as was asked.

import { assert } from "../../assert.ts";
import { factKinds } from "../disk.ts";
import { groupSeed } from "../row-codec.ts";
import type { Connection } from "../sqlite.ts";
import { ActiveFile, takeSpare } from "./active-file.ts";
import { markCleanStop } from "./clean-stop.ts";
import { takeInventory } from "./inventory.ts";
import { FileReader } from "./file-reader.ts";
import type { CommitBody, WriterVerbs } from "./protocol.ts";
import { serveVerbs, Transferred } from "./worker-port.ts";
import { buffersOf, numbersAt } from "./packed-rows.ts";

const slabs = new Map<number, Uint8Array>();
/** crc of each replica's group id. */
const seeds = new Map<number, number>([[-1, groupSeed("")]]);
/** Of files that were active and are not deleted yet (active-file.ts says why). */
const guards = new Map<string, Connection>();
let folder = "";
let reader = new FileReader("");
let active: ActiveFile | null = null;
/** Kind of the last durable row. */
let lastKind: number | null = null;

serveVerbs<WriterVerbs>({
  open({ dir }) {
    folder = dir;
    reader = new FileReader(dir);
    const { lastLsn, ...inventory } = takeInventory(dir);
    for (const [replica, groupId] of inventory.groups) seeds.set(replica, groupSeed(groupId));
    const newest = inventory.unsealed.at(-1);
    if (newest !== undefined) {
      // Where rows were lost, the number of the last one is not known; the journal rolls then.
      const whole = !inventory.damage.some((one) => one.file === newest.name);
      active = new ActiveFile(dir, newest.name, whole ? lastLsn : null);
    }
    const rows = inventory.unsealed.flatMap((file) => buffersOf(file.rows));
    const index = inventory.index === null ? [] : [inventory.index.buffer];
    return new Transferred(inventory, [...rows, ...index]);
  },
  roll(body) {
    const next = takeSpare(folder, body.name, active?.lastLsn ?? null);
    commitTo(next, body);
    if (active !== null) {
      guards.set(active.name, active.guard);
      active.close();
    }
    active = next;
    return null;
  },
  commit(body) {
    assert(active !== null, "Cannot commit: no file is active; roll first");
    return commitTo(active, body);
  },
  read(read) {
    const answer = reader.read(read);
    return new Transferred(answer, buffersOf(answer.rows));
  },
  forget(names) {
    reader.forget(names);
    for (const name of names) {
      guards.get(name)?.close();
      guards.delete(name);
    }
    return null;
  },
  close(index) {
    if (active !== null && lastKind === factKinds.cleanStop) markCleanStop(folder, active, index);
    active?.close();
    active = null;
    return null;
  },
});

function commitTo(file: ActiveFile, body: CommitBody): number {
  for (const slab of body.forgetSlabs) slabs.delete(slab);
  for (const [slab, buffer] of body.slabs) slabs.set(slab, new Uint8Array(buffer));
  for (const [replica, groupId] of body.groups) seeds.set(replica, groupSeed(groupId));
  const grown = file.commit(body.rows, {
    durability: body.durability,
    seedOf: (replica) => known(seeds.get(replica), `Replica ${replica}`),
    slabs: (slab) => known(slabs.get(slab), `Slab ${slab}`),
  });
  const { count } = body.rows;
  if (count > 0) lastKind = numbersAt(body.rows, count - 1).kind;
  return grown;
}

function known<T>(value: T | undefined, what: string): T {
  assert(value !== undefined, `${what} was not told to the writer`);
  return value;
}
