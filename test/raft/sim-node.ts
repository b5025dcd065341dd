// One node of a simulated group: its disk, its state machine, its queues of work.
//
// Promise: what the disk holds survives a crash, nothing else does; payloads are away now and then, until fetched.
// Left to others: what happens to it, and when (simulation.ts).

import {
  MemoryStorage,
  RawNode,
  type Configuration,
  type ConfState,
  type Message,
  type Observation,
  type Snapshot,
} from "../../raft/index.ts";
import { Random } from "../../raft/random.ts";

/** What a state machine that adds up payloads holds after `index`. */
export interface MachineState {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
  readonly sum: number;
}

/** A disk whose payloads are sometimes away. */
export class SimStorage extends MemoryStorage<number> {
  machine: MachineState;
  readonly fetching = new Set<number>();
  readonly #random: Random;
  #fetched = new Set<number>();

  constructor(start: MachineState, random: Random) {
    super({ index: start.index, term: start.term, confState: start.confState, data: start.sum });
    this.machine = start;
    this.#random = random;
  }

  override initialState() {
    return { hardState: this.hardState, confState: this.machine.confState };
  }

  override entries(lo: number, end: number, maxBytes: number, to = 0) {
    if (lo < this.firstIndex()) return "compacted";
    if (this.#random.below(20) === 0 && !this.#fetched.delete(to)) {
      this.fetching.add(to);
      return "unavailable";
    }
    return super.entries(lo, end, maxBytes);
  }

  fetch(to: number): void {
    this.fetching.delete(to);
    this.#fetched.add(to);
  }

  override snapshot(): Snapshot {
    const { index, term, confState, sum } = this.machine;
    return { index, term, confState, data: sum };
  }

  override install(snapshot: Snapshot): void {
    super.install(snapshot);
    const { index, term, confState } = snapshot;
    this.machine = { index, term, confState, sum: snapshot.data as number };
  }
}

export class SimNode {
  readonly id: number;
  readonly storage: SimStorage;
  node: RawNode<number> | null = null;
  appendQueue: Message<number>[] = [];
  applyQueue: Message<number>[] = [];
  /** Requests under way and the commit index that their answers must reach. */
  readonly reads = new Map<number, number>();
  seen: Observation | null = null;
  /** As it was when last looked at; null after a start. */
  configuration: Configuration | null = null;
  /** Index of the last snapshot that the core took over, then. */
  restored = 0;
  stalledTurns = 0;
  /** Everything up to here was compared with what is committed. */
  checkedTo = 0;

  constructor(id: number, storage: SimStorage) {
    this.id = id;
    this.storage = storage;
  }
}
