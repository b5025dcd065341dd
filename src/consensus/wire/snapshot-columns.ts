// What stands before the data of a MsgSnap: index, term, members.
//
//   | index | term | leaves joint by itself 0/1 | voters | outgoing | learners | next learners |     list: count, ids +
//
// Promise: what is read back equals what was written; a configuration that no correct leader has (an empty one, ids that
// do not ascend, a learner that also votes) is refused. Left to others: the data behind it, which is the host's own.

import type { ConfState, NodeId, Snapshot } from "../../../raft/types.ts";
import { VarintReader, writeVarlong } from "../../bytes/varint.ts";
import { malformed, refusePacket, type PacketRefusal } from "./packet-refusal.ts";

const numberBytesMax = 10;

export function describeSnapshot({ index, term, confState }: Omit<Snapshot, "data">): Uint8Array {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState;
  const lists = [voters, votersOutgoing, learners, learnersNext];
  const numbers = [index, term, autoLeave ? 1 : 0];
  for (const list of lists) {
    numbers.push(list.length);
    let before = 0;
    for (const id of list) {
      numbers.push(id - before);
      before = id;
    }
  }
  const bytes = new Uint8Array(numbers.length * numberBytesMax);
  let end = 0;
  for (const number of numbers) end = writeVarlong(bytes, end, number);
  return bytes.slice(0, end);
}

/** All but the data. */
export function readSnapshot(description: Uint8Array): Omit<Snapshot, "data"> | PacketRefusal {
  const reader = new VarintReader(description);
  const index = reader.varlong();
  const term = reader.varlong();
  const leaves = reader.varlong();
  const voters = readIds(reader);
  const votersOutgoing = readIds(reader);
  const learners = readIds(reader);
  const learnersNext = readIds(reader);
  if (reader.failed || reader.at !== reader.end || index < 1 || term < 1) {
    return malformed("snapshot");
  }
  if (leaves !== 0 && leaves !== 1) return malformed("snapshot");
  const confState = { voters, votersOutgoing, learners, learnersNext, autoLeave: leaves === 1 };
  const fault = faultOf(confState);
  if (fault !== null) return refusePacket("members", fault);
  return { index, term, confState };
}

/** A list that ascends; anything else fails the reader. */
function readIds(reader: VarintReader): NodeId[] {
  const count = reader.varlong();
  if (count < 0 || count > reader.end - reader.at) reader.failed = true;
  const ids: NodeId[] = [];
  let id = 0;
  for (let i = 0; i < count && !reader.failed; i += 1) {
    const step = reader.varlong();
    id += step;
    if (step <= 0 || !Number.isSafeInteger(id)) reader.failed = true;
    ids.push(id);
  }
  return ids;
}

/** Why the lists do not fit together, or null. */
function faultOf({
  voters,
  votersOutgoing,
  learners,
  learnersNext,
  autoLeave,
}: ConfState): string | null {
  if (voters.length === 0) return "a configuration without voters";
  const voting = new Set([...voters, ...votersOutgoing]);
  const twice = learners.find((id) => voting.has(id));
  if (twice !== undefined) return `${twice} votes and learns`;
  const outgoing = new Set(votersOutgoing);
  const incoming = new Set(voters);
  const stray = learnersNext.find((id) => !outgoing.has(id) || incoming.has(id));
  if (stray !== undefined) return `${stray} cannot become a learner`;
  if (outgoing.size === 0 && autoLeave) return "no joint configuration can be left";
  return null;
}
