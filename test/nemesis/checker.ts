// Judges a history against the logs that were read when all was quiet.
//
// A partition's log is a counter with contents: an append of k records moves it from n to n + k, a read tells where it
// stands. For such an object the pairs of operations that did not overlap decide whether the history is linearizable,
// so this takes n log n instead of a search:
//
//   append a answered before append b was sent      offset(a) < offset(b)
//   append a answered before read r was sent        r sees at least offset(a) + k          (linearizable, leader)
//   read r answered before append a was sent        r sees at most offset(a)               (every read)
//   read r answered before read s was sent          s sees at least what r saw             (linearizable, leader)
//
// And of the contents: every acknowledged record is at its offset, once; an unknown one at most once; a refused one
// nowhere; what a read showed is what the log holds; offsets are dense. Promise: every violation is named. A read from
// the leader may be behind only where a deposed leader did not know it yet: those are counted, not judged.

import type { AppendOp, Op, ReadOp } from "./history.ts";

export interface Verdict {
  readonly violations: readonly string[];
  readonly acknowledged: number;
  readonly unknown: number;
  /** Unknown ones that turned out to be written. */
  readonly unknownWritten: number;
  readonly refused: number;
  readonly reads: number;
  /** Reads from a leader that were behind an append acknowledged before. */
  readonly staleLeaderReads: number;
}

/** `logs`: by partition, every value from offset `start` on. */
export function checkHistory(
  ops: readonly Op[],
  logs: ReadonlyMap<number, { readonly start: number; readonly values: readonly string[] }>,
): Verdict {
  const check = new Check(ops, logs);
  return check.verdict();
}

/** An append whose place is known: told, or found in the log. */
interface Placed {
  readonly op: AppendOp;
  readonly offset: number;
  readonly next: number;
}

class Check {
  readonly #ops: readonly Op[];
  readonly #logs: ReadonlyMap<
    number,
    { readonly start: number; readonly values: readonly string[] }
  >;
  readonly #violations: string[] = [];
  readonly #placed = new Map<number, Placed[]>();
  #unknown = 0;
  #unknownWritten = 0;
  #refused = 0;
  #acknowledged = 0;
  #reads = 0;
  #staleLeaderReads = 0;

  constructor(
    ops: readonly Op[],
    logs: ReadonlyMap<number, { readonly start: number; readonly values: readonly string[] }>,
  ) {
    this.#ops = ops;
    this.#logs = logs;
  }

  verdict(): Verdict {
    const places = this.#placesOfValues();
    for (const op of this.#ops) if (op.kind === "append") this.#checkAppend(op, places);
    for (const partition of this.#logs.keys()) this.#checkOrder(partition);
    return {
      violations: this.#violations,
      acknowledged: this.#acknowledged,
      unknown: this.#unknown,
      unknownWritten: this.#unknownWritten,
      refused: this.#refused,
      reads: this.#reads,
      staleLeaderReads: this.#staleLeaderReads,
    };
  }

  /** Value -> where it stands. A value that stands twice, or that nobody sent, is a violation. */
  #placesOfValues(): Map<string, { readonly partition: number; readonly offset: number }> {
    const sent = new Set<string>();
    for (const op of this.#ops)
      if (op.kind === "append") for (const value of op.values) sent.add(value);
    const places = new Map<string, { partition: number; offset: number }>();
    for (const [partition, { start, values }] of this.#logs) {
      values.forEach((value, n) => {
        const offset = start + n;
        const first = places.get(value);
        if (first !== undefined)
          this.#violate(`${value} stands at ${partition}/${offset} and at ${at(first)}`);
        if (!sent.has(value)) this.#violate(`${partition}/${offset}: nobody sent ${value}`);
        places.set(value, { partition, offset });
      });
    }
    return places;
  }

  #checkAppend(
    op: AppendOp,
    places: ReadonlyMap<string, { readonly partition: number; readonly offset: number }>,
  ): void {
    const found = op.values.map((value) => places.get(value));
    const first = found[0];
    const what = `append of ${op.values[0]} (${op.values.length} records) by client ${op.client}`;
    if (op.outcome === "refused") {
      this.#refused += 1;
      if (found.some((place) => place !== undefined))
        this.#violate(`Refused ${what} was written at ${at(found.find((p) => p !== undefined)!)}`);
      return;
    }
    if (op.outcome === "unknown") {
      this.#unknown += 1;
      if (found.every((place) => place === undefined)) return;
      this.#unknownWritten += 1;
    } else {
      this.#acknowledged += 1;
    }
    const offset = op.outcome === "unknown" ? (first?.offset ?? -1) : op.outcome.offset;
    const whole = found.every(
      (place, n) => place?.partition === op.partition && place.offset === offset + n,
    );
    if (!whole) {
      const where = found.map((place) => (place === undefined ? "nowhere" : at(place))).join(", ");
      this.#violate(`${what}: wanted at ${op.partition}/${offset}, found at ${where}`);
      return;
    }
    const placed = this.#placed.get(op.partition) ?? [];
    this.#placed.set(op.partition, placed);
    placed.push({ op, offset, next: offset + op.values.length });
  }

  #checkOrder(partition: number): void {
    const appends = this.#placed.get(partition) ?? [];
    const reads: ReadOp[] = [];
    for (const op of this.#ops)
      if (op.kind === "read" && op.partition === partition && op.outcome !== null) reads.push(op);
    this.#reads += reads.length;
    this.#appendsInOrder(appends);
    for (const read of reads) this.#contentsOf(read);
    this.#readsSeeEnough(appends, reads);
    this.#readsSeeNoFuture(appends, reads);
  }

  /** In order of sending, an append stands behind all that were answered before it was sent. */
  #appendsInOrder(appends: readonly Placed[]): void {
    const ends = floors(appends.filter(answered), (placed) => placed.next);
    for (const { op, offset } of appends) {
      const floor = ends(op.start);
      if (offset < floor)
        this.#violate(
          `${op.values[0]} stands at ${op.partition}/${offset}, though ${floor} was acknowledged before it was sent`,
        );
    }
  }

  #contentsOf(read: ReadOp): void {
    const log = this.#logs.get(read.partition)!;
    const { values, highWatermark } = read.outcome!;
    values.forEach((value, n) => {
      const offset = read.from + n;
      const stored = log.values[offset - log.start];
      if (offset >= log.start && stored !== value)
        this.#violate(
          `A read of client ${read.client} saw ${value} at ${read.partition}/${offset}, the log holds ${stored}`,
        );
    });
    if (highWatermark > log.start + log.values.length)
      this.#violate(
        `A read of client ${read.client} saw ${read.partition} up to ${highWatermark}, the log ends at ${log.start + log.values.length}`,
      );
  }

  #readsSeeEnough(appends: readonly Placed[], reads: readonly ReadOp[]): void {
    const strict = reads.filter((read) => read.consistency !== "local");
    const acknowledged = floors(appends.filter(answered), (placed) => placed.next);
    const linearizable = strict.filter((read) => read.consistency === "linearizable");
    const seen = floors(
      linearizable.map((read) => ({ op: read, next: read.outcome!.highWatermark })),
      (read) => read.next,
    );
    for (const read of strict) {
      const floor = Math.max(acknowledged(read.start), seen(read.start));
      if (read.outcome!.highWatermark >= floor) continue;
      if (read.consistency === "leader") this.#staleLeaderReads += 1;
      else
        this.#violate(
          `A linearizable read of client ${read.client} saw ${read.partition} up to ${read.outcome!.highWatermark}, ${floor} was known before it was sent`,
        );
    }
  }

  /** What a read saw had been sent before it was answered. */
  #readsSeeNoFuture(appends: readonly Placed[], reads: readonly ReadOp[]): void {
    const byStart = [...appends].sort((a, b) => b.op.start - a.op.start);
    const sorted = [...reads].sort((a, b) => b.end! - a.end!);
    let ceiling = Infinity;
    let n = 0;
    for (const read of sorted) {
      for (; n < byStart.length && byStart[n].op.start > read.end!; n += 1)
        ceiling = Math.min(ceiling, byStart[n].offset);
      if (read.outcome!.highWatermark > ceiling)
        this.#violate(
          `A read of client ${read.client} saw ${read.partition} up to ${read.outcome!.highWatermark}, but ${ceiling} was sent after its answer`,
        );
    }
  }

  #violate(text: string): void {
    this.#violations.push(text);
  }
}

const answered = ({ op }: Placed): boolean => op.end !== null && op.outcome !== "unknown";

function at({
  partition,
  offset,
}: {
  readonly partition: number;
  readonly offset: number;
}): string {
  return `${partition}/${offset}`;
}

/** floor(time): the largest value among the items that ended before `time`; 0 when there is none. */
function floors<T extends { readonly op: { readonly end: number | null } }>(
  items: readonly T[],
  value: (item: T) => number,
): (time: number) => number {
  const sorted = [...items].sort((a, b) => a.op.end! - b.op.end!);
  const ends = sorted.map((item) => item.op.end!);
  const highest: number[] = [];
  for (const item of sorted) highest.push(Math.max(highest.at(-1) ?? 0, value(item)));
  return (time) => {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle] < time) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : highest[low - 1];
  };
}
