// What clients of a cluster did and were told, as a list of operations that a checker can judge.
//
// Promise: an operation is in the list from the moment it was sent; its times are of one monotonic clock, ns. Left to
// others: judging (checker.ts, porcupine/).

import { writeFile } from "node:fs/promises";

export interface AppendOp {
  readonly kind: "append";
  readonly client: number;
  readonly partition: number;
  /** One a record, each used once in the whole history. */
  readonly values: readonly string[];
  readonly start: number;
  /** Null: never answered. */
  end: number | null;
  /** "unknown": it may or may not have been written. "refused": it was certainly not. */
  outcome: { readonly offset: number } | "unknown" | "refused";
}

export interface ReadOp {
  readonly kind: "read";
  readonly client: number;
  readonly partition: number;
  readonly consistency: "local" | "leader" | "linearizable";
  readonly from: number;
  readonly start: number;
  end: number | null;
  /** Null: refused, or never answered. */
  outcome: {
    readonly values: readonly string[];
    /** The end of what the answering node knew to be committed. */
    readonly highWatermark: number;
  } | null;
}

export type Op = AppendOp | ReadOp;

export class History {
  readonly ops: Op[] = [];

  append(of: Pick<AppendOp, "client" | "partition" | "values">, now: number): AppendOp {
    const op: AppendOp = { kind: "append", ...of, start: now, end: null, outcome: "unknown" };
    this.ops.push(op);
    return op;
  }

  read(of: Pick<ReadOp, "client" | "partition" | "consistency" | "from">, now: number): ReadOp {
    const op: ReadOp = { kind: "read", ...of, start: now, end: null, outcome: null };
    this.ops.push(op);
    return op;
  }

  /** One JSON object a line, as porcupine/main.go reads it. */
  async save(file: string): Promise<void> {
    await writeFile(file, this.ops.map((op) => `${JSON.stringify(op)}\n`).join(""));
  }
}
