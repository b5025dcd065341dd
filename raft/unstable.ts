// The end of the log that is not yet known to be on disk, and a snapshot that is being installed.
//
//      storage ......|  entries being written  |  entries to be handed out  |
//                 offset                offsetInProgress          offset + length
//
// Promise: entries[i] has index offset + i; what a Ready handed out is not handed out again; an entry leaves only when
// stableTo() attests that no write under way can still replace it. offset may lie below the storage's last index: the
// next write then truncates. Invariant: offset <= offsetInProgress <= offset + length.

import { bug } from "./bug.ts";
import { noEntries } from "./message.ts";
import type { Entry, Snapshot } from "./types.ts";

export class Unstable<P> {
  snapshot: Snapshot | null = null;
  snapshotInProgress = false;
  entries: Entry<P>[] = [];
  offset: number;
  offsetInProgress: number;

  constructor(offset: number) {
    this.offset = offset;
    this.offsetInProgress = offset;
  }

  /** Index of the last entry or of the snapshot; 0 when there is neither. */
  lastIndex(): number {
    if (this.entries.length > 0) return this.offset + this.entries.length - 1;
    return this.snapshot === null ? 0 : this.snapshot.index;
  }

  /** Term of an index that lies here, else null. */
  term(index: number): number | null {
    if (index >= this.offset) {
      const at = index - this.offset;
      return at < this.entries.length ? this.entries[at].term : null;
    }
    return this.snapshot !== null && this.snapshot.index === index ? this.snapshot.term : null;
  }

  hasNextEntries(): boolean {
    return this.entries.length > this.offsetInProgress - this.offset;
  }

  /** Entries that no Ready has handed out yet, as a fresh array. */
  nextEntries(): readonly Entry<P>[] {
    const handedOut = this.offsetInProgress - this.offset;
    return handedOut === this.entries.length ? noEntries : this.entries.slice(handedOut);
  }

  nextSnapshot(): Snapshot | null {
    return this.snapshotInProgress ? null : this.snapshot;
  }

  /** A Ready handed everything out. */
  acceptInProgress(): void {
    this.offsetInProgress = this.offset + this.entries.length;
    if (this.snapshot !== null) this.snapshotInProgress = true;
  }

  /** Entries up to (index, term) are durable and cannot be replaced by a write under way. Anything that does not match
   *  is old news: the tail was replaced meanwhile. */
  stableTo(index: number, term: number): void {
    if (index < this.offset || this.term(index) !== term) return;
    this.entries = this.entries.slice(index + 1 - this.offset);
    this.offset = index + 1;
    this.offsetInProgress = Math.max(this.offsetInProgress, this.offset);
  }

  stableSnapshotTo(index: number): void {
    if (this.snapshot === null || this.snapshot.index !== index) return;
    this.snapshot = null;
    this.snapshotInProgress = false;
  }

  restore(snapshot: Snapshot): void {
    this.offset = snapshot.index + 1;
    this.offsetInProgress = this.offset;
    this.entries = [];
    this.snapshot = snapshot;
    this.snapshotInProgress = false;
  }

  /** Appends, first removing what lies at and above the first new index. */
  truncateAndAppend(entries: readonly Entry<P>[]): void {
    const from = entries[0].index;
    const end = this.offset + this.entries.length;
    if (from > end) bug(`Cannot append at ${from}: next index is ${end}`);
    if (from === end) {
      for (const entry of entries) this.entries.push(entry);
    } else if (from <= this.offset) {
      this.entries = entries.slice();
      this.offset = from;
      this.offsetInProgress = from;
    } else {
      // A fresh array: arrays that were handed out are never cut under their reader.
      this.entries = this.entries.slice(0, from - this.offset).concat(entries);
      this.offsetInProgress = Math.min(this.offsetInProgress, from);
    }
  }

  /** Entries [lo, end); all of them must lie here. */
  slice(lo: number, end: number): Entry<P>[] {
    const last = this.offset + this.entries.length;
    if (lo > end || lo < this.offset || end > last) {
      bug(`Cannot slice [${lo}, ${end}) of unstable [${this.offset}, ${last})`);
    }
    return this.entries.slice(lo - this.offset, end - this.offset);
  }
}
