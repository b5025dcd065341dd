// Watches free space on the volume, so that client data is refused while there is still room for what frees the disk.
//
//   free >= 2 marks: ok      free >= mark: low (a warning)      below the mark: full (client data is refused)
//
// Promise: asks only at open, at a roll and a little after bytes were written or while space is short; an idle node
// sets no timer. Left to others: what is refused (open-journal.ts), ENOSPC itself (writer.ts).

import type { Timer, World } from "../world.ts";
import type { Disk } from "./disk.ts";

/** Between two looks while bytes are written, and while space is short. */
const lookMs = { written: 5_000, short: 1_000 } as const;

export type SpaceLevel = "ok" | "low" | "full";

export class SpaceWatch {
  readonly #world: World;
  readonly #disk: Disk;
  readonly #freeBytesMin: number;
  #timer: Timer | null = null;
  #closed = false;
  freeBytes = Number.MAX_SAFE_INTEGER;
  usedBytes = 0;

  constructor(parts: { world: World; disk: Disk; freeBytesMin: number }) {
    this.#world = parts.world;
    this.#disk = parts.disk;
    this.#freeBytesMin = parts.freeBytesMin;
  }

  get level(): SpaceLevel {
    if (this.freeBytes < this.#freeBytesMin) return "full";
    return this.freeBytes < 2 * this.#freeBytesMin ? "low" : "ok";
  }

  async look(): Promise<void> {
    try {
      ({ freeBytes: this.freeBytes, usedBytes: this.usedBytes } = await this.#disk.space());
    } catch {
      // The volume does not answer: the writer meets the same fault and says so; the last figure stays.
    }
    if (this.level !== "ok") this.#later(lookMs.short);
  }

  /** Bytes were written. */
  onWritten(): void {
    this.#later(lookMs.written);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #later(delayMs: number): void {
    if (this.#closed || this.#timer !== null) return;
    this.#timer = this.#world.setTimer(delayMs, () => {
      this.#timer = null;
      void this.look();
    });
  }
}
