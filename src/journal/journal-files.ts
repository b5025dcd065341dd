// The table of the journal's files: names, which rows they hold, how much of them is live, who reads them.
//
//   journal-<first lsn>                                one active (the newest), then full ones
//   sealed-<first lsn>-<last lsn>-<generation>         replaces a run of neighbours
//
// Promise: files are ordered by the rows they hold, ranges never overlap, so of two rows for one (replica, index) the
// later file's is the living one. Left to others: what is live (replica-log.ts keeps liveBytes), what to do with it
// (janitor-plan.ts).

import { assert } from "../assert.ts";

export type FileState = "active" | "full" | "sealed";

/** Bytes that a row costs beside its batch: columns, meta, page overhead. An estimate for the janitor's choices. */
export const rowOverheadBytes = 64;

export interface FileRange {
  readonly firstLsn: number;
  readonly lastLsn: number;
}

/** One file. Mutable where named so; owned by JournalFiles. */
export class JournalFile {
  readonly name: string;
  readonly firstLsn: number;
  state: FileState;
  /** Last row; of the active file the last durable one. */
  lastLsn: number;
  /** Size on disk, as far as known. */
  fileBytes: number;
  rows = 0;
  /** Batch bytes and row overhead of all entries and snapshot chunks that were written. */
  totalBytes = 0;
  /** The same of those that are live. Invariant: the sum over all segments and snapshot chunks in this file. */
  liveBytes = 0;
  /** Reads under way; the file is not removed before they end. */
  readers = 0;
  /** A damaged live row was met: kept as it is, never sealed. */
  damaged = false;
  readonly generation: number;

  constructor(init: {
    name: string;
    state: FileState;
    range: FileRange;
    generation: number;
    fileBytes: number;
  }) {
    this.name = init.name;
    this.state = init.state;
    this.firstLsn = init.range.firstLsn;
    this.lastLsn = init.range.lastLsn;
    this.generation = init.generation;
    this.fileBytes = init.fileBytes;
  }
}

const digits = 16;
const padded = (lsn: number): string => String(lsn).padStart(digits, "0");

export const journalName = (firstLsn: number): string => `journal-${padded(firstLsn)}`;

export function sealedName(range: FileRange, generation: number): string {
  return `sealed-${padded(range.firstLsn)}-${padded(range.lastLsn)}-${generation}`;
}

/** What a name says, or null when no journal wrote it. */
export function parseName(
  name: string,
): { readonly sealed: boolean; readonly range: FileRange; readonly generation: number } | null {
  const match = /^(?:journal-(\d{16})|sealed-(\d{16})-(\d{16})-(\d+))$/.exec(name);
  if (match === null) return null;
  const [, active, first, last, generation] = match;
  if (active !== undefined) {
    const range = { firstLsn: Number(active), lastLsn: Number(active) - 1 };
    return { sealed: false, range, generation: 0 };
  }
  const range = { firstLsn: Number(first), lastLsn: Number(last) };
  return { sealed: true, range, generation: Number(generation) };
}

export class JournalFiles {
  /** In row order; the last one is the active file once there is one. */
  readonly #files: JournalFile[] = [];
  /** Callbacks of those who wait until nobody reads a file. */
  readonly #idle = new Map<JournalFile, (() => void)[]>();

  all(): readonly JournalFile[] {
    return this.#files;
  }

  active(): JournalFile {
    const last = this.#files.at(-1);
    assert(last?.state === "active", "The journal has no active file");
    return last;
  }

  full(): JournalFile[] {
    return this.#files.filter((file) => file.state === "full");
  }

  /** The file that holds the row; null when none does. */
  find(lsn: number): JournalFile | null {
    const found = this.#files.findLast((file) => file.firstLsn <= lsn);
    return found !== undefined && (found.state === "active" || lsn <= found.lastLsn) ? found : null;
  }

  add(file: JournalFile): void {
    const before = this.#files.at(-1);
    assert(
      before === undefined || before.lastLsn < file.firstLsn,
      () => `File ${file.name} must begin after row ${before?.lastLsn}`,
    );
    this.#files.push(file);
  }

  /** Puts a sealed file where its inputs, neighbours of each other, stood. */
  replace(inputs: readonly JournalFile[], output: JournalFile | null): void {
    const at = this.#files.indexOf(inputs[0]);
    assert(
      at >= 0 && inputs.every((file, i) => this.#files[at + i] === file),
      () => `Inputs must be neighbours: ${inputs.map((file) => file.name).join(", ")}`,
    );
    this.#files.splice(at, inputs.length, ...(output === null ? [] : [output]));
  }

  /** One more read of the file; release() exactly once. */
  hold(file: JournalFile): { release(): void } {
    file.readers++;
    return {
      release: () => {
        if (--file.readers > 0) return;
        for (const wake of this.#idle.get(file) ?? []) wake();
        this.#idle.delete(file);
      },
    };
  }

  /** Resolves when no read of the file is under way. */
  unread(file: JournalFile): Promise<void> {
    if (file.readers === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle.set(file, [...(this.#idle.get(file) ?? []), resolve]);
    });
  }
}
