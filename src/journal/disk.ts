// The disk under the journal: files of rows, nothing that knows Raft. Eight verbs, three implementations: libSQL in
// Workers (libsql-disk.ts), memory (memory-disk.ts), and memory with faults for the simulator (simulated-disk.ts).
// One suite (test/journal/disk-suite.ts) runs over each.
//
//   active    the one file that takes commits; WAL, never checkpointed, no secondary index; first transaction: image
//   full      a former active file that waits for the janitor (at most two)
//   sealed    immutable, only live rows, ordered by (replica, idx), indexed; head row names the files it replaces
//
// Promise: commit() is atomic and, once settled, durable to the degree asked for; rows come back as they were written
// or are named as damage; a crash at any moment leaves a state that open() understands. Left to the journal: which
// rows are live, what they mean, when to roll and to seal.

import type { Slice } from "../bytes/slab.ts";
import type { Damage } from "./journal.ts";

/** Rows are entries (kinds 0-31, journal.ts) or facts. Numbers are part of the format. An unknown kind halts. */
export const factKinds = {
  image: 32, // meta: packed state of live replicas; idx = chunk, offset_count = chunks, base_offset = copy (0, 1)
  replica: 33, // a replica's number is given to (group id, incarnation) in meta
  cut: 34, // idx (whose base_offset it repeats) and above are gone; same transaction as the entry that replaces it
  reset: 35, // the log begins anew at (idx, term, base_offset)
  drop: 36, // the replica ends
  state: 37, // meta: packed (replica, term, vote, commit)... that changed in this flush
  snapshot: 38, // batch: one chunk of a fold's state at index idx; offset_count = chunks, base_offset = chunk number
  trim: 39, // meta: packed (replica, index, prevTerm, offset)...: log starts that the janitor will rely on
  barrier: 40, // a row that only makes a commit reach the disk
  cleanStop: 41, // the last row of a journal that was closed in order
} as const;

/** One row. Numeric columns are integers below 2^53; `replica` is -1 on rows of no replica. */
export interface DiskRow {
  /** Dense over unsealed files: the last durable row's + 1. Those of a commit that failed are used again. Kept when
   *  the row moves into a sealed file. */
  readonly lsn: number;
  readonly replica: number;
  /** Group id of the replica, "" on rows of no replica. Not stored: the row's crc covers it, so that a row can never
   *  pass for another group's. */
  readonly groupId: string;
  readonly idx: number;
  readonly term: number;
  readonly kind: number;
  readonly baseOffset: number;
  readonly offsetCount: number;
  readonly time: number;
  readonly maxTimestamp: number;
  readonly meta: Uint8Array | null;
  /** Held by the receiver of a read (it releases), borrowed by a commit until it settles. */
  readonly batch: Slice | null;
}

/** A row without its batch, as recovery wants it; `batchBytes` is the batch's length. */
export interface DiskRowHead extends Omit<DiskRow, "batch"> {
  readonly batchBytes: number;
}

/** What a sealed file holds of one replica. */
export interface Span {
  readonly replica: number;
  readonly groupId: string;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly firstOffset: number;
  readonly nextOffset: number;
  readonly maxTimestamp: number;
  /** Batch bytes. */
  readonly bytes: number;
}

export interface SealedHead {
  readonly name: string;
  /** Names of the files that this one replaces. */
  readonly replaces: readonly string[];
  readonly spans: readonly Span[];
  /** Snapshot chunks that moved into this file; read by lsn. */
  readonly snapshots: readonly SealedSnapshotRow[];
  readonly fileBytes: number;
}

export interface SealedSnapshotRow {
  readonly lsn: number;
  readonly replica: number;
  readonly idx: number;
  /** Chunk number, and how many the snapshot has. */
  readonly chunk: number;
  readonly chunks: number;
}

/** A full or active file as open() found it. */
export interface UnsealedFile {
  readonly name: string;
  readonly fileBytes: number;
  /** Heads of its rows in lsn order, the image first, made one at a time from packed columns. Damaged rows are left
   *  out and stand in `damage`. */
  readonly rows: Iterable<DiskRowHead>;
}

/** What the journal wrote down at a clean stop, to be spared the rows at the next start (stop-index.ts). */
export interface StopIndex {
  /** All files of the journal. */
  readonly files: readonly string[];
  /** False where damage was known: it tells where every log ended, and the next start reads the rows all the same. */
  readonly whole: boolean;
  readonly bytes: Uint8Array;
}

/** Where a clean stop left the journal; told when its newest file is not as that stop left it, or gone. */
export interface CleanEnd {
  /** The file that was newest; it may be gone. */
  readonly name: string;
  /** The last row: numbers up to it were given. */
  readonly lastLsn: number;
  /** Bytes of its stop index; null when that is lost or damaged too. */
  readonly index: Uint8Array | null;
}

export interface DiskInventory {
  readonly sealed: readonly SealedHead[];
  /** Oldest first; the last one is the active file. Empty at first start. */
  readonly unsealed: readonly UnsealedFile[];
  readonly damage: readonly Damage[];
  /** What was damaged and set right (a flipped bit in a WAL), nothing lost: sentences for the log. */
  readonly mended?: readonly string[];
  /** The last stop wrote its mark; false also at first start. */
  readonly cleanStop: boolean;
  /** Bytes of the stop index, only when the last stop was clean and there are the same files with the same rows and no
   *  damage. With it the rows of unsealed files may be left out. */
  readonly index?: Uint8Array | null;
  /** Only when the newest file is damaged or gone and the last stop was clean. Kept until another file follows. */
  readonly cleanEnd?: CleanEnd | null;
}

export interface DiskCommit {
  readonly rows: readonly DiskRow[];
  /** "full": on the platter when settled. "os": in the operating system's hands. */
  readonly durability: "full" | "os";
}

export interface DiskRead {
  readonly file: string;
  readonly replica: number;
  readonly groupId: string;
  /** Unsealed files, and snapshot rows of sealed ones, are read by lsn (the journal's index knows them); entries of
   *  sealed files by (replica, position). A wanted lsn that is missing or another replica's is damage. */
  readonly rows:
    | { readonly lsns: readonly number[] }
    | {
        readonly fromIndex: number;
        readonly endIndex: number;
        /** Skip rows whose base_offset + offset_count <= this; null to start at fromIndex. */
        readonly fromOffset: number | null;
        /** Skip rows whose max_timestamp is below this; null for all. */
        readonly fromTimestamp: number | null;
        /** Only kinds data and gap. */
        readonly dataOnly: boolean;
      };
  /** "heads": rows come without their batch (for timestamps and retention), which is then not read either. */
  readonly parts: "rows" | "heads";
  readonly maxRows: number;
  /** Bound over batch bytes; the first row always comes whole. */
  readonly maxBytes: number;
}

export interface DiskReadResult {
  /** In order, all verified (row crc and each batch's own CRC), up to the first damaged row. */
  readonly rows: readonly DiskRow[];
  /** The damaged row at which reading stopped, or null. */
  readonly damage: Damage | null;
}

/** One janitor job. A row is live when its idx lies in its replica's range of its input; of two rows with the same
 *  idx in one input the larger lsn lives. Snapshot rows live when listed by lsn. All other facts die. */
export interface SealPlan {
  readonly output: string;
  readonly inputs: readonly {
    readonly name: string;
    readonly live: readonly {
      readonly replica: number;
      readonly groupId: string;
      readonly firstIndex: number;
      readonly lastIndex: number;
    }[];
    readonly snapshots: readonly {
      readonly replica: number;
      readonly groupId: string;
      readonly lsns: readonly number[];
    }[];
  }[];
}

export interface Disk {
  /** Takes inventory; walks the WAL of the active file itself after an unclean stop. Rows of unsealed files are
   *  verified by their crc; batches are not read. groupIdOf: crc covers it, images and replica facts tell it. */
  open(): Promise<DiskInventory>;
  /** Starts a new active file whose first transaction is these rows (the image), FULL. The next file is prepared
   *  ahead, off the writer, so this costs one commit. */
  roll(name: string, image: readonly DiskRow[]): Promise<void>;
  /** One transaction on the active file. Calls run in order. Rejects with Fault storage_full or storage_failed
   *  (sideEffects unknown). Resolves to the bytes that the file grew by. */
  commit(commit: DiskCommit): Promise<number>;
  /** Runs in a reader; one statement to its end, never across an await. */
  read(read: DiskRead): Promise<DiskReadResult>;
  /** Reads inputs, writes one sealed file of the live rows, syncs, renames, syncs the folder. Pauses between chunks
   *  while `pause()` says so. Inputs stay until remove(). Damaged live rows reject with storage_damaged. */
  seal(plan: SealPlan, pause: () => boolean): Promise<SealedHead>;
  /** Deletes files that no reader has open any more; unknown names are ignored. */
  remove(names: readonly string[]): Promise<void>;
  /** Free bytes on the volume and bytes of all journal files. */
  space(): Promise<{ readonly freeBytes: number; readonly usedBytes: number }>;
  /** Ends the Workers and closes every file. The journal has written its clean-stop row before; the index is kept for the
   *  next open() then. */
  close(index?: StopIndex | null): Promise<void>;
}
