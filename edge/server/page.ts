// One page of a read: what one fetch brings, taken fairly from the partitions, as JSON texts.
//
// Promise: at least one record comes when a wanted one is there, however large; never more than the page has room for;
// the positions go on behind what was taken or passed over. Left to others: waiting for more (read.ts), streams of pages
// (ndjson-read.ts).

import type { ReadConsistency, TopicView } from "../../src/broker/broker.ts";
import { utf8Length } from "../../src/bytes/unicode.ts";
import type { Refusal } from "../../src/errors.ts";
import type { Position } from "./cursor.ts";
import { Feed } from "./feed.ts";
import { outOfRange } from "./positions.ts";
import type { RecordFilter } from "./record-filter.ts";
import { recordText, type ShownAs } from "./record-text.ts";
import type { Services } from "./services.ts";

export interface PageRequest {
  readonly view: TopicView;
  /** In order of partition. */
  readonly positions: readonly Position[];
  readonly maxRecords: number;
  /** Bytes of record texts; one record always comes. */
  readonly maxBytes: number;
  /** Stored bytes that are fetched at most. */
  readonly fetchBytes: number;
  readonly minBytes: number;
  readonly waitMs: number;
  readonly as: ShownAs;
  readonly filter: RecordFilter | null;
  /** undefined: as the leaders have it. */
  readonly consistency: ReadConsistency | undefined;
  readonly signal: AbortSignal;
}

export interface PagePart {
  readonly partition: number;
  readonly nextOffset: number;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  /** Term of the leader that told. */
  readonly leaderEpoch: number;
}

export interface Page {
  readonly ok: true;
  /** JSON texts. */
  readonly records: readonly string[];
  /** Of the texts, a byte between them each. */
  readonly bytes: number;
  /** A wanted record was left, as there was no room for it. */
  readonly full: boolean;
  /** Stored bytes that were looked at. */
  readonly scannedBytes: number;
  /** In order of partition. */
  readonly parts: readonly PagePart[];
}

export async function readPage(services: Services, request: PageRequest): Promise<Page | Refusal> {
  const { view, positions, fetchBytes, minBytes, waitMs, consistency, signal } = request;
  const rotated = rotate(positions);
  const fetched = await services.broker.fetch({
    topic: view.name,
    ...(consistency === undefined ? {} : { consistency }),
    positions: rotated.map(({ partition, offset }) => ({
      partition,
      offset,
      maxBytes: fetchBytes,
    })),
    maxBytes: fetchBytes,
    minBytes,
    maxWaitMs: waitMs,
    ...(waitMs === 0 ? {} : { signal }),
  });
  if ("ok" in fetched) return fetched;
  try {
    const feeds: Feed[] = [];
    for (const [i, part] of fetched.partitions.entries()) {
      if (!part.ok) return refusedPart(services, view, { refusal: part, position: rotated[i] });
      feeds.push(new Feed(part, rotated[i].offset));
    }
    const taken = takeFairly(feeds, request);
    feeds.sort((a, b) => a.partition - b.partition);
    return { ok: true, ...taken, scannedBytes: storedBytes(feeds), parts: feeds.map(partOf) };
  } finally {
    fetched.release();
  }
}

export function positionsOf({ parts }: Page): readonly Position[] {
  return parts.map(({ partition, nextOffset }) => ({ partition, offset: nextOffset }));
}

export function partText(part: PagePart): string {
  const { partition, nextOffset, highWatermark, logStartOffset } = part;
  return `{"partition":${partition},"nextOffset":${nextOffset},"highWatermark":${highWatermark},"logStartOffset":${logStartOffset}}`;
}

/** Nothing that is committed is left to read. */
export function isAtEnd({ parts, scannedBytes }: Page): boolean {
  return scannedBytes === 0 || parts.every((part) => part.nextOffset >= part.highWatermark);
}

/** Begins with another partition as reading goes on, so that a busy first one cannot starve the others. */
function rotate(positions: readonly Position[]): readonly Position[] {
  if (positions.length < 2) return positions;
  const first = positions.reduce((sum, { offset }) => sum + offset, 0) % positions.length;
  return [...positions.slice(first), ...positions.slice(0, first)];
}

function refusedPart(
  services: Services,
  view: TopicView,
  { refusal, position }: { refusal: Refusal; position: Position },
): Refusal {
  if (refusal.code === "offset_out_of_range")
    return outOfRange(services, view.name, position, refusal.members);
  const members = { partition: position.partition, ...refusal.members };
  return { ...refusal, members };
}

/** Each partition gives its share in turn, then what is left of the room goes round again. */
function takeFairly(
  feeds: readonly Feed[],
  room: PageRequest,
): Pick<Page, "records" | "bytes" | "full"> {
  const { maxRecords, maxBytes, as, filter } = room;
  const records: string[] = [];
  const share = Math.max(1, Math.floor(maxRecords / Math.max(1, feeds.length)));
  let bytes = 0;
  for (let before = -1; before < records.length;) {
    before = records.length;
    for (const feed of feeds) {
      for (let taken = 0; taken < share; taken++) {
        const cursor = feed.peekWanted(filter);
        if (cursor === null) break;
        if (records.length >= maxRecords) return { records, bytes, full: true };
        const text = recordText(cursor, feed.partition, as);
        const more = utf8Length(text) + 1;
        if (records.length > 0 && bytes + more > maxBytes) return { records, bytes, full: true };
        bytes += more;
        feed.take();
        records.push(text);
      }
    }
  }
  return { records, bytes, full: false };
}

function storedBytes(feeds: readonly Feed[]): number {
  let bytes = 0;
  for (const { fetched } of feeds) for (const batch of fetched.batches) bytes += batch.length;
  return bytes;
}

function partOf({ partition, next, fetched }: Feed): PagePart {
  const { highWatermark, logStartOffset, leaderEpoch } = fetched;
  return { partition, nextOffset: next, highWatermark, logStartOffset, leaderEpoch };
}
