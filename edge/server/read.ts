// Reading: GET .../records of one, several or all partitions, with cursors and long poll.
//
//   start -> positions -> broker.fetch (waits) -> records taken fairly from the partitions -> {records, cursor, partitions}
//
// Promise: at least one record comes when one is there, however large; never more than maxRecords; the answer says where
// to go on. Left to others: waking (the broker).

import type { FetchedPartition, TopicView } from "../../src/broker/broker.ts";
import type { Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { utf8Length } from "../../src/bytes/unicode.ts";
import { headerNames } from "../contract/names.ts";
import type { Call } from "./call.ts";
import { CursorWriter, type Position } from "./cursor.ts";
import { Feed } from "./feed.ts";
import {
  askedPartitions,
  outOfRange,
  readFields,
  resolveStart,
  unknownTopic,
  type Start,
} from "./positions.ts";
import { recordText, type ShownAs } from "./record-text.ts";
import { route, type Answer, type Fields, type Route } from "./route.ts";

const pageFields = {
  ...readFields,
  maxRecords: {
    schema: { type: "integer", minimum: 1, maximum: limits.recordsPerRequestMax, default: 500 },
  },
  maxBytes: {
    schema: {
      type: "integer",
      minimum: 1,
      maximum: limits.responseBytesMax,
      default: 1_048_576,
      description: "Bytes of records in the answer; one record always comes",
    },
  },
  minBytes: {
    schema: {
      type: "integer",
      minimum: 0,
      maximum: limits.responseBytesMax,
      default: 1,
      description: "Stored bytes for which a wait goes on",
    },
  },
  waitMs: {
    schema: {
      type: "integer",
      minimum: 0,
      maximum: limits.waitMsMax,
      default: 0,
      description: "How long an empty answer waits for a record",
    },
  },
} as const satisfies Fields;

const { partition: _ofPath, ...partitionFields } = pageFields;

type ReadCall = Call<typeof pageFields>;

const answers: Readonly<Record<number, Answer>> = {
  200: { description: "Records, and where to go on", shape: "ReadAnswer" },
};

export const readRoutes: readonly Route[] = [
  route({
    id: "readRecords",
    method: "GET",
    path: "/v1/topics/{topic}/records",
    summary: "Read records of all partitions, or of those named",
    action: "read",
    resource: "topic",
    query: pageFields,
    headers: {},
    answers,
    handle: (call) => handleRead(call as unknown as ReadCall),
  }),
  route({
    id: "readPartitionRecords",
    method: "GET",
    path: "/v1/topics/{topic}/partitions/{partition}/records",
    summary: "Read records of one partition",
    action: "read",
    resource: "topic",
    query: partitionFields,
    headers: {},
    answers,
    handle: (call) => handleRead(call as unknown as ReadCall),
  }),
];

async function handleRead(call: ReadCall): Promise<Response> {
  const { services, query } = call;
  const view = services.broker.topic(call.topic);
  if (view === null) return call.refuse(unknownTopic(call));
  const partitions = askedPartitions(call.partition, query.partition);
  const start = await resolveStart(services, { view, query, partitions, otherwise: "earliest" });
  if (!start.ok) return call.refuse(start);
  if ((query.waitMs ?? 0) === 0) return read(call, view, start);
  const refused = services.waiters.enter();
  if (refused !== null) return call.refuse(refused);
  try {
    return await read(call, view, start);
  } finally {
    services.waiters.leave();
  }
}

/** Fetches until a record is there or the wait is over: a wake-up may bring markers alone. */
async function read(call: ReadCall, view: TopicView, start: Start): Promise<Response> {
  const { world } = call.services;
  const until = world.monotonic() + (call.query.waitMs ?? 0);
  let { positions } = start;
  for (;;) {
    const waitMs = Math.max(0, Math.floor(until - world.monotonic()));
    const page = await readPage(call, view, { positions, waitMs });
    if ("code" in page) return call.refuse(page);
    positions = page.positions;
    const over = waitMs === 0 || call.services.closing.aborted || call.visit.request.signal.aborted;
    if (page.records.length > 0 || over) return answerPage(call, view, { page, all: start.all });
  }
}

interface Page {
  /** JSON texts. */
  readonly records: readonly string[];
  readonly partitions: readonly string[];
  /** Where to go on, in order of partition. */
  readonly positions: readonly Position[];
}

async function readPage(
  call: ReadCall,
  view: TopicView,
  { positions, waitMs }: { positions: readonly Position[]; waitMs: number },
): Promise<Page | Refusal> {
  const { services, query, visit } = call;
  const maxBytes = query.maxBytes ?? pageFields.maxBytes.schema.default;
  const rotated = rotate(positions);
  const fetched = await services.broker.fetch({
    topic: view.name,
    positions: rotated.map(({ partition, offset }) => ({ partition, offset, maxBytes })),
    maxBytes,
    minBytes: query.minBytes ?? pageFields.minBytes.schema.default,
    maxWaitMs: waitMs,
    ...(waitMs === 0 ? {} : { signal: AbortSignal.any([visit.request.signal, services.closing]) }),
  });
  if ("ok" in fetched) return fetched;
  try {
    const feeds: Feed[] = [];
    for (const [i, part] of fetched.partitions.entries()) {
      if (!part.ok) return refusedPart(call, view, { refusal: part, position: rotated[i] });
      feeds.push(new Feed(part, rotated[i].offset));
    }
    const records = takeFairly(feeds, {
      maxRecords: query.maxRecords ?? pageFields.maxRecords.schema.default,
      maxBytes,
      as: query.as ?? "auto",
    });
    feeds.sort((a, b) => a.partition - b.partition);
    return {
      records,
      partitions: feeds.map((feed) => partitionText(feed.fetched, feed.next)),
      positions: feeds.map(({ partition, next }) => ({ partition, offset: next })),
    };
  } finally {
    fetched.release();
  }
}

/** Begins with another partition as reading goes on, so that a busy first one cannot starve the others. */
function rotate(positions: readonly Position[]): readonly Position[] {
  if (positions.length < 2) return positions;
  const first = positions.reduce((sum, { offset }) => sum + offset, 0) % positions.length;
  return [...positions.slice(first), ...positions.slice(0, first)];
}

function refusedPart(
  call: ReadCall,
  view: TopicView,
  { refusal, position }: { refusal: Refusal; position: Position },
): Refusal {
  if (refusal.code === "offset_out_of_range") return outOfRange(call.services, view.name, position);
  const members = { partition: position.partition, ...refusal.members };
  return { ...refusal, members };
}

interface Room {
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly as: ShownAs;
}

/** Each partition gives its share in turn, then what is left of the room goes round again. */
function takeFairly(feeds: readonly Feed[], room: Room): readonly string[] {
  const records: string[] = [];
  const share = Math.max(1, Math.floor(room.maxRecords / Math.max(1, feeds.length)));
  let bytes = 0;
  for (let before = -1; before < records.length;) {
    before = records.length;
    for (const feed of feeds) {
      for (let taken = 0; taken < share; taken++) {
        const cursor = feed.peek();
        if (cursor === null) break;
        if (records.length >= room.maxRecords) return records;
        const text = recordText(cursor, feed.partition, room.as);
        bytes += utf8Length(text) + 1;
        if (records.length > 0 && bytes > room.maxBytes) return records;
        feed.take();
        records.push(text);
      }
    }
  }
  return records;
}

function partitionText(fetched: FetchedPartition, nextOffset: number): string {
  const { partition, highWatermark, logStartOffset } = fetched;
  return `{"partition":${partition},"nextOffset":${nextOffset},"highWatermark":${highWatermark},"logStartOffset":${logStartOffset}}`;
}

function answerPage(
  call: ReadCall,
  view: TopicView,
  { page, all }: { page: Page; all: boolean },
): Response {
  const cursor = new CursorWriter(view.topicId, all ? "all" : "some").write(page.positions);
  call.setHeader(headerNames.session, cursor);
  call.services.metrics.recordsRead += page.records.length;
  const records = page.records.join(",");
  const partitions = page.partitions.join(",");
  return call.text(
    200,
    `{"records":[${records}],"cursor":"${cursor}","partitions":[${partitions}]}\n`,
  );
}
