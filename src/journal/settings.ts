// Settings of one journal: sizes that tests make tiny and operators make large.

import { limits } from "../limits.ts";

export interface JournalSettings {
  /** "full": every flush is synced. "os": only votes, terms, drops, log starts and marks are. */
  readonly durability: "full" | "os";
  /** Budget of slabs and cached entries, bytes. */
  readonly cacheBytesMax: number;
  /** Bytes in the queue and under way before enqueue() refuses. */
  readonly queueBytesMax: number;
  readonly flushBytesMax: number;
  readonly fileBytesMax: number;
  readonly fileRowsMax: number;
  /** Below this much free space client data is refused. */
  readonly freeBytesMin: number;
  /** A fold's snapshot is stored in rows of this size. */
  readonly snapshotChunkBytes: number;
}

/** Defaults; each may be overridden. The free-space mark follows the file size: one file to write on, one to seal, one spare. */
export function journalSettings(given: Partial<JournalSettings>): JournalSettings {
  const fileBytesMax = given.fileBytesMax ?? limits.fileBytesMax;
  return {
    durability: "full",
    cacheBytesMax: 64 * 1024 * 1024,
    // What clients may have waiting and what leaders on other nodes may: a follower's write that was refused would cost the
    // replica its core. Both are bounded where they come in (consensus/admission.ts, hosted-replica.ts).
    queueBytesMax:
      limits.journalQueueBytesMax + limits.receivedBytesMax + limits.packetBodyBytesMax,
    flushBytesMax: limits.flushBytesMax,
    fileRowsMax: limits.fileRowsMax,
    freeBytesMin: 3 * fileBytesMax,
    snapshotChunkBytes: 256 * 1024,
    ...given,
    fileBytesMax,
  };
}
