// What the main thread asks of the three Workers. Each verb is one message there and one back (worker-port.ts).
//
// Promise: plain data only, shared memory handed over once a slab. Left to others: what the answers mean.

import type { CleanEnd, DiskCommit, DiskRead, SealedHead, SealPlan, StopIndex } from "../disk.ts";
import type { Damage } from "../journal.ts";
import type { PackedRows } from "./packed-rows.ts";

/** Rows for the writer, and what it has not been told yet. */
export interface CommitBody {
  readonly rows: PackedRows;
  readonly durability: DiskCommit["durability"];
  /** Memory of slabs that the writer does not know, and numbers that it may forget. */
  readonly slabs: readonly (readonly [slab: number, buffer: SharedArrayBuffer])[];
  readonly forgetSlabs: readonly number[];
  /** Group ids of replicas that the writer does not know. */
  readonly groups: readonly (readonly [replica: number, groupId: string])[];
}

export interface FoundFile {
  readonly name: string;
  readonly fileBytes: number;
  readonly rows: PackedRows;
}

/** Everything that open() found. */
export interface Inventory {
  readonly sealed: readonly SealedHead[];
  readonly unsealed: readonly FoundFile[];
  readonly groups: readonly (readonly [replica: number, groupId: string])[];
  readonly damage: readonly Damage[];
  readonly mended: readonly string[];
  readonly cleanStop: boolean;
  readonly index: Uint8Array<ArrayBuffer> | null;
  readonly cleanEnd: CleanEnd | null;
}

export interface ReadAnswer {
  readonly rows: PackedRows;
  readonly damage: Damage | null;
}

export type WriterVerbs = {
  readonly open: { readonly body: { readonly dir: string }; readonly answer: Inventory };
  readonly roll: {
    readonly body: { readonly name: string } & CommitBody;
    readonly answer: null;
  };
  /** Answers the bytes that the file grew by. */
  readonly commit: { readonly body: CommitBody; readonly answer: number };
  /** A few reads at the start, before a reader Worker is worth its own start. */
  readonly read: { readonly body: DiskRead; readonly answer: ReadAnswer };
  /** The files are deleted: lets their guards go. */
  readonly forget: { readonly body: readonly string[]; readonly answer: null };
  readonly close: { readonly body: StopIndex | null; readonly answer: null };
};

export type ReaderVerbs = {
  readonly open: { readonly body: { readonly dir: string }; readonly answer: null };
  readonly read: { readonly body: DiskRead; readonly answer: ReadAnswer };
  readonly forget: { readonly body: readonly string[]; readonly answer: null };
};

export type JanitorVerbs = {
  readonly open: { readonly body: { readonly dir: string }; readonly answer: null };
  readonly prepare: { readonly body: null; readonly answer: null };
  /** Begins a job; step until it answers the head. One job at a time. */
  readonly seal: { readonly body: SealPlan; readonly answer: null };
  readonly step: { readonly body: null; readonly answer: SealedHead | null };
  readonly remove: { readonly body: readonly string[]; readonly answer: null };
};
