// Reading: GET .../records of one, several or all partitions, with cursors and long poll.
//
//   start -> positions -> broker.fetch (waits) -> pages (page.ts) -> {records, cursor, partitions}
//
// Promise: at least one record comes when one is there, however large; never more than maxRecords; the answer says where
// to go on. Left to others: waking (the broker).

import type { TopicView } from "../../src/broker/broker.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { headerNames, mediaTypes } from "../contract/names.ts";
import type { Call } from "./call.ts";
import { CursorWriter, type Position } from "./cursor.ts";
import { linesAnswer } from "./lines-answer.ts";
import { readLines } from "./ndjson-read.ts";
import { isAtEnd, partText, positionsOf, readPage, type Page } from "./page.ts";
import {
  askedPartitions,
  readFields,
  resolveStart,
  unknownTopic,
  type Start,
} from "./positions.ts";
import { filterOf, type RecordFilter } from "./record-filter.ts";
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
  200: {
    description: `Records, and where to go on. To Accept: ${mediaTypes.lines}: one record a line up to where the log ends now (as many as there are unless maxRecords or maxBytes is given), the last line says where to go on`,
    shape: "ReadAnswer",
    also: { [mediaTypes.lines]: "ReadLine" },
  },
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
    redirects: true,
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
    redirects: true,
    answers,
    handle: (call) => handleRead(call as unknown as ReadCall),
  }),
];

async function handleRead(call: ReadCall): Promise<Response> {
  const { services, query } = call;
  const view = services.broker.topic(call.topic);
  if (view === null) return call.refuse(unknownTopic(call));
  const filter = filterOf(query);
  if (filter !== null && "ok" in filter) return call.refuse(filter);
  const partitions = askedPartitions(call.partition, query.partition);
  const otherwise = "earliest";
  const { consistency } = call;
  const asked = { view, query, partitions, otherwise, filter, consistency } as const;
  const start = await resolveStart(services, asked);
  if (!start.ok) return call.refuse(start);
  if (wantsLines(call)) return answerLines(call, { view, start, filter });
  const read = new Read(call, { view, start, filter });
  if ((query.waitMs ?? 0) === 0) return read.answer();
  const refused = services.waiters.enter();
  if (refused !== null) return call.refuse(refused);
  try {
    return await read.answer();
  } finally {
    services.waiters.leave();
  }
}

/** The caller names lines; who takes anything gets one object. */
function wantsLines({ visit }: ReadCall): boolean {
  const { accept } = visit.headers;
  return accept !== undefined && accept.toLowerCase().includes(mediaTypes.lines);
}

async function answerLines(
  call: ReadCall,
  { view, start, filter }: { view: TopicView; start: Start; filter: RecordFilter | null },
): Promise<Response> {
  const { as = "auto", maxRecords = Infinity, maxBytes = Infinity } = call.query;
  if ((call.query.waitMs ?? call.query.minBytes) !== undefined) {
    const detail =
      "waitMs and minBytes are for answers in one piece; lines end where the log ends now";
    return call.refuse(refuse("invalid_request", detail));
  }
  const { positions, all } = start;
  const { consistency } = call;
  const request = { view, positions, all, as, filter, maxRecords, maxBytes, consistency };
  const lines = await readLines(call, request);
  if ("ok" in lines) return call.refuse(lines);
  return linesAnswer(call, lines);
}

/** Stored bytes that a filtered read takes at a time: what it looks through blocks this thread. */
const scanBytes = 1_048_576;

/** One read: pages until there is something to answer. */
class Read {
  readonly #call: ReadCall;
  readonly #view: TopicView;
  readonly #all: boolean;
  readonly #filter: RecordFilter | null;
  readonly #until: number;
  readonly #signal: AbortSignal;
  readonly #records: string[] = [];
  #bytes = 0;
  #scannedBytes = 0;
  #positions: readonly Position[];

  constructor(
    call: ReadCall,
    { view, start, filter }: { view: TopicView; start: Start; filter: RecordFilter | null },
  ) {
    const { services, query, visit } = call;
    this.#call = call;
    this.#view = view;
    this.#all = start.all;
    this.#filter = filter;
    this.#positions = start.positions;
    this.#until = services.world.monotonic() + (query.waitMs ?? 0);
    // A signal of two costs a microsecond: only what waits needs one.
    this.#signal =
      query.waitMs === undefined
        ? services.closing
        : AbortSignal.any([visit.request.signal, services.closing]);
  }

  /** Fetches until there is enough or the wait is over: a wake-up may bring markers, or nothing that is wanted. */
  async answer(): Promise<Response> {
    const { world } = this.#call.services;
    for (;;) {
      const waitMs = Math.max(0, Math.floor(this.#until - world.monotonic()));
      const page = await this.#page(waitMs);
      if (!page.ok) return this.#call.refuse(page);
      this.#positions = positionsOf(page);
      this.#records.push(...page.records);
      this.#bytes += page.bytes;
      this.#scannedBytes += page.scannedBytes;
      if (this.#signal.aborted || this.#isEnough(page, waitMs === 0)) return this.#told(page);
      // Pages without a wanted record come out of memory: others are to have their turn between them.
      if (this.#filter !== null) await new Promise<void>((resolve) => world.defer(resolve));
    }
  }

  #page(waitMs: number): Promise<Page | Refusal> {
    const { services, query } = this.#call;
    const maxRecords = query.maxRecords ?? pageFields.maxRecords.schema.default;
    const maxBytes = query.maxBytes ?? pageFields.maxBytes.schema.default;
    return readPage(services, {
      view: this.#view,
      positions: this.#positions,
      maxRecords: maxRecords - this.#records.length,
      maxBytes: maxBytes - this.#bytes,
      fetchBytes: this.#filter === null ? maxBytes : scanBytes,
      minBytes: query.minBytes ?? pageFields.minBytes.schema.default,
      waitMs: this.#records.length > 0 ? 0 : waitMs,
      as: query.as ?? "auto",
      filter: this.#filter,
      consistency: this.#call.consistency,
      signal: this.#signal,
    });
  }

  /** With a filter it goes on until the answer is full, the end is reached, or a request's share is looked through. */
  #isEnough(page: Page, isLate: boolean): boolean {
    const found = this.#records.length > 0;
    if (this.#filter === null) return found || isLate;
    const share = this.#scannedBytes >= limits.scannedBytesMax;
    return page.full || share || (isAtEnd(page) && (found || isLate));
  }

  #told({ parts }: Page): Response {
    const { services } = this.#call;
    const follows = this.#all ? "all" : "some";
    const writer = new CursorWriter(this.#view.topicId, follows, this.#filter?.sum);
    const cursor = writer.write(this.#positions);
    this.#call.setHeader(headerNames.session, cursor);
    if (parts.length === 1) this.#call.tellLeader(parts[0].partition, parts[0].leaderEpoch);
    services.metrics.recordsRead += this.#records.length;
    const records = this.#records.join(",");
    const partitions = parts.map(partText).join(",");
    return this.#call.text(
      200,
      `{"records":[${records}],"cursor":"${cursor}","partitions":[${partitions}]}\n`,
    );
  }
}
