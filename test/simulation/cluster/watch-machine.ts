// A state machine that is told on: what it applies, what it is restored from, what it saves.
//
// Promise: every call reaches the machine unchanged; entries come in order, without a gap, each once. Left to others:
// what the whole cluster must agree on (committed-log.ts).

import type { StateMachine } from "../../../src/consensus/replica.ts";
import type { CommittedLog } from "./committed-log.ts";
import { telling, Violation } from "./violation.ts";

export interface WatchedMachine extends StateMachine {
  readonly applied: number;
}

export function watchMachine(
  who: string,
  machine: StateMachine,
  log: CommittedLog,
): WatchedMachine {
  // -1: the host says by its first call where it begins.
  let applied = -1;
  return {
    get applied() {
      return applied;
    },
    restore(index, snapshot) {
      if (index < applied) {
        throw new Violation("apply order", `${who} is restored to ${index} after ${applied}`);
      }
      applied = index;
      machine.restore(index, snapshot);
      log.state(who, index, machine.snapshot());
    },
    apply(entries) {
      for (const entry of entries) {
        if (applied >= 0 && entry.index !== applied + 1) {
          throw new Violation("apply order", `${who} applies ${entry.index} after ${applied}`);
        }
        applied = entry.index;
        log.apply(who, entry);
      }
      // The host may take what is thrown here for a read that failed.
      telling(() => machine.apply(entries));
    },
    snapshot() {
      const bytes = machine.snapshot();
      if (applied >= 0) log.state(who, applied, bytes);
      return bytes;
    },
    onRole: (role) => machine.onRole(role),
    onReady: (term) => machine.onReady(term),
    onFlushed: (index, term) => machine.onFlushed(index, term),
    onLost(index, refusal) {
      if (index <= applied) {
        throw new Violation("lost entries", `${who} gives up ${index}, which it has applied`);
      }
      machine.onLost(index, refusal);
    },
    onTurn: () => machine.onTurn?.(),
  };
}
