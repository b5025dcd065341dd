// A journal whose writes are noted: what of each replica is durable, and since when.
//
// Promise: passes every call on unchanged; the note is made before the host hears of the completion. Left to others:
// what the notes must satisfy (durable-log.ts).

import type { Journal, ReplicaWrite, WriteCompletion } from "../../../src/journal/journal.ts";
import type { ReplicaNumber } from "../../../src/quantities.ts";
import type { DurableLog } from "./durable-log.ts";

/** `logOf`: the note of a replica; asked with each write. */
export function watchJournal(
  journal: Journal,
  logOf: (replica: ReplicaNumber) => DurableLog | null,
): Journal {
  const enqueue = async (write: ReplicaWrite): Promise<WriteCompletion> => {
    const log = logOf(write.replica);
    const number = log?.begin(write) ?? 0;
    try {
      const completion = await journal.enqueue(write);
      log?.done(number);
      return completion;
    } catch (error) {
      log?.failed(number);
      throw error;
    }
  };
  const bound = new Map<string | symbol, unknown>([["enqueue", enqueue]]);
  return new Proxy(journal, {
    get(target, name) {
      const known = bound.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const method: unknown = value.bind(target);
      bound.set(name, method);
      return method;
    },
  });
}
