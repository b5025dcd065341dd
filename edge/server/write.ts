// Writing: POST .../records, JSON or one raw record (lines: ndjson-write.ts); one path into the broker and one way to tell the outcome.
//
//   body -> records -> placed by partition -> one batch a partition -> broker.produce -> receipts in request order
//
// Promise: invalid input appends nothing anywhere; the records of one partition are one batch; every record written has
// its receipt in its own place. Left to others: atomicity, conditions and idempotency (the broker), JSON (record-json.ts).

import { createHash } from "node:crypto";
import type {
  Acks,
  AppendConditions,
  Appended,
  PartitionAppend,
  ProduceRequest,
  TopicView,
} from "../../src/broker/broker.ts";
import { decodeUtf8 } from "../../src/bytes/unicode.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import { batchBytes, buildBatch, type BatchProducer } from "../../src/records/batch-builder.ts";
import { headerNames, mediaTypes } from "../contract/names.ts";
import { fenceSchema, offsetSchema, timestampSchema } from "../contract/shapes.ts";
import { wrongMediaType, type Call } from "./call.ts";
import { CursorWriter } from "./cursor.ts";
import { writeLines, type LinePlan } from "./ndjson-write.ts";
import { placeRecords, viewOfFirstTry, type Placed } from "./placement.ts";
import { problemOf } from "./problem.ts";
import { rawRecord } from "./raw-record.ts";
import { receiptText, timestampOf } from "./receipts.ts";
import { parseRecords, type RecordsInput } from "./record-json.ts";
import { route, type Answer, type Fields, type Route } from "./route.ts";

const writeQuery = {
  acks: {
    schema: {
      type: "string",
      enum: ["all", "1", "0"],
      default: "all",
      description: "all: committed; 1: durable on the leader; 0: nothing is waited for",
    },
  },
  key: { schema: { type: "string", description: "Raw record: its key as text" } },
  keyBase64: { schema: { type: "string", description: "Raw record: its key in base64" } },
  timestamp: { schema: { ...timestampSchema, description: "Raw record: ms since the epoch" } },
  receipts: {
    schema: {
      type: "string",
      enum: ["each", "summary"],
      default: "each",
      description: "Lines: a receipt a line, or ranges at the end only",
    },
  },
} as const satisfies Fields;

const writeHeaders = {
  [headerNames.idempotencyKey]: {
    schema: {
      type: "string",
      pattern: "^[!-~]{1,255}$",
      description:
        "The same key with the same body is answered again, and nothing is appended; with another body it is 422 where a partition that this request writes to remembers the key",
    },
  },
  [headerNames.recordHeaders]: {
    schema: {
      type: "string",
      pattern: "^[A-Za-z0-9_-]*$",
      description: "Raw record: base64url of the JSON list of its headers",
    },
  },
} as const satisfies Fields;

const conditionHeaders = {
  ...writeHeaders,
  [headerNames.expectedOffset]: {
    schema: { ...offsetSchema, description: "The log end at which the first record must land" },
  },
  [headerNames.fence]: {
    schema: {
      ...fenceSchema,
      description: "The token that must be the partition's (PUT .../fence)",
    },
  },
  [headerNames.producerId]: {
    schema: { ...offsetSchema, description: "From POST /v1/producers; with epoch and sequence" },
  },
  [headerNames.producerEpoch]: { schema: { type: "integer", minimum: 0, maximum: 32_767 } },
  [headerNames.producerSequence]: {
    schema: {
      type: "integer",
      minimum: 0,
      maximum: 2_147_483_647,
      description: "Of the request's first record; each partition counts for itself, from 0",
    },
  },
} as const satisfies Fields;

type WriteCall = Call<typeof writeQuery, typeof conditionHeaders>;

const bodies = {
  [mediaTypes.json]: "WriteRequest",
  [mediaTypes.lines]: "RecordWritten",
  [mediaTypes.bytes]: null,
  [mediaTypes.text]: null,
} as const;

const answers: Readonly<Record<number, Answer>> = {
  200: {
    description:
      "All are committed; receipts in request order. Lines: one receipt a line, the last line says how it ended; without it the outcome is unknown",
    shape: "WriteAnswer",
    also: { [mediaTypes.lines]: "WriteLine" },
    headers: [
      headerNames.topicCreated,
      headerNames.idempotencyReplayed,
      headerNames.idempotencyExpires,
    ],
  },
  202: { description: "acks=0: taken, nothing is promised", shape: "AcceptedAnswer" },
  207: {
    description: "Some are committed; a failed place holds its problem",
    shape: "PartialWriteAnswer",
  },
};

export const writeRoutes: readonly Route[] = [
  route({
    id: "writeRecords",
    method: "POST",
    path: "/v1/topics/{topic}/records",
    summary: "Write records; keys choose the partition",
    action: "write",
    resource: "topic",
    query: writeQuery,
    headers: writeHeaders,
    redirects: true,
    bodies,
    answers,
    handle: (call) => handleWrite(call as unknown as WriteCall),
  }),
  route({
    id: "writePartitionRecords",
    method: "POST",
    path: "/v1/topics/{topic}/partitions/{partition}/records",
    summary: "Write records to one partition, on conditions if wanted",
    action: "write",
    resource: "topic",
    query: writeQuery,
    headers: conditionHeaders,
    redirects: true,
    bodies,
    answers,
    handle: handleWrite,
  }),
];

async function handleWrite(call: WriteCall): Promise<Response> {
  const refused = contradiction(call);
  if (refused !== null) return call.refuse(refused);
  if (call.mediaType === mediaTypes.lines) return writeLines(call, planOf(call));
  const bytes = await call.body();
  if (!(bytes instanceof Uint8Array)) return call.refuse(bytes);
  const input = parseBody(call, bytes);
  if (!input.ok) return call.refuse(input);
  const found = call.services.broker.topicForWrite(call.topic);
  const view = found instanceof Promise ? await found : found;
  if ("ok" in view) return call.refuse(view);
  const first = viewOfFirstTry(call, view, input.records);
  const tried = first instanceof Promise ? await first : first;
  if ("ok" in tried) return call.refuse(tried);
  const placed = placeRecords(call, tried, input.records);
  if (!placed.ok) return call.refuse(placed);
  const request = requestOf(call, tried, { placed, bytes });
  if ("ok" in request) return call.refuse(request);
  try {
    const outcomes = await call.services.broker.produce(request);
    return answerOutcomes(call, tried, { placed, outcomes });
  } finally {
    for (const { batch } of request.appends) batch.release();
  }
}

/** What cannot be meant, told before the body is read. */
function contradiction(call: WriteCall): Refusal | null {
  const type = call.mediaType;
  if (type === mediaTypes.form) return refuse("unsupported_media_type", correctedCommand(call));
  const raw = type === mediaTypes.bytes || type === mediaTypes.text;
  const lines = type === mediaTypes.lines;
  if (!raw && !lines && type !== mediaTypes.json) return wrongMediaType(type, call.route);
  const { key, keyBase64, timestamp, acks } = call.query;
  const ofRaw = key ?? keyBase64 ?? timestamp ?? call.header[headerNames.recordHeaders];
  if (!raw && ofRaw !== undefined) {
    const detail = `key, keyBase64, timestamp and Rivulet-Headers are for one raw record (${mediaTypes.bytes} or ${mediaTypes.text}); in JSON they are fields of the record`;
    return refuse("invalid_request", detail);
  }
  if (key !== undefined && keyBase64 !== undefined) {
    return refuse("invalid_request", "Only one of key and keyBase64 is wanted");
  }
  if (acks === "0" && call.header[headerNames.idempotencyKey] !== undefined) {
    return refuse(
      "invalid_request",
      "Idempotency-Key wants an answer: acks must be all or 1, got 0",
    );
  }
  const producer = producerOf(call);
  if (producer !== undefined && "ok" in producer) return producer;
  return lines ? notOfLines(call) : ofLines(call);
}

/** A stream is answered line by line, and nobody can hold it whole to answer it again. */
function notOfLines({ query, header }: WriteCall): Refusal | null {
  if (header[headerNames.idempotencyKey] !== undefined) {
    const detail = `Idempotency-Key is for whole bodies; a stream of ${mediaTypes.lines} goes on behind its last receipt`;
    return refuse("invalid_request", detail);
  }
  if (query.acks !== "0") return null;
  return refuse(
    "invalid_request",
    `${mediaTypes.lines} is answered with receipts: acks must be all or 1`,
  );
}

function ofLines({ query }: WriteCall): Refusal | null {
  if (query.receipts === undefined) return null;
  return refuse("invalid_request", `receipts is for bodies of ${mediaTypes.lines}`);
}

/** What holds for every batch of a stream of lines; contradiction() has passed. */
function planOf(call: WriteCall): LinePlan {
  const producer = producerOf(call);
  return {
    acks: acksOf[call.query.acks ?? "all"],
    receipts: call.query.receipts ?? "each",
    conditions: conditionsOf(call),
    producer: producer === undefined || "ok" in producer ? undefined : producer,
  };
}

function conditionsOf({ header }: WriteCall): AppendConditions | null {
  const expectedOffset = header[headerNames.expectedOffset];
  const fence = header[headerNames.fence];
  if (expectedOffset === undefined && fence === undefined) return null;
  return {
    ...(expectedOffset === undefined ? {} : { expectedOffset }),
    ...(fence === undefined ? {} : { fence }),
  };
}

/** The three producer headers, all or none. */
function producerOf(call: WriteCall): BatchProducer | Refusal | undefined {
  const id = call.header[headerNames.producerId];
  const epoch = call.header[headerNames.producerEpoch];
  const baseSequence = call.header[headerNames.producerSequence];
  if (id !== undefined && epoch !== undefined && baseSequence !== undefined) {
    if (call.header[headerNames.idempotencyKey] === undefined) return { id, epoch, baseSequence };
    return refuse("invalid_request", "Either Idempotency-Key or the producer headers, not both");
  }
  if (id === undefined && epoch === undefined && baseSequence === undefined) return undefined;
  const detail =
    "Rivulet-Producer-Id, Rivulet-Producer-Epoch and Rivulet-Producer-Sequence come together";
  return refuse("invalid_request", detail);
}

/** What `curl -d` sends by itself; the command that was meant. */
function correctedCommand(call: WriteCall): string {
  const { url } = call.visit.request;
  const quoted = `'${url.replaceAll("'", "%27")}'`;
  return `A form is no record. Text: curl -H 'Content-Type: text/plain' --data-binary 'hello' ${quoted}   JSON: curl --json '{"records":[{"value":"hello"}]}' ${quoted}`;
}

function parseBody(call: WriteCall, bytes: Uint8Array): RecordsInput {
  if (call.mediaType !== mediaTypes.json) return rawRecord(call, bytes);
  const text = decodeUtf8(bytes);
  return text === null
    ? refuse("invalid_request", "The body is not valid UTF-8")
    : parseRecords(text);
}

const acksOf: Readonly<Record<string, Acks>> = { all: "all", "1": "leader", "0": "none" };

type Outcome = Appended | (Refusal & { readonly partition: number });

/** The caller releases the batches. */
function requestOf(
  call: WriteCall,
  view: TopicView,
  { placed, bytes }: { placed: Placed; bytes: Uint8Array },
): ProduceRequest | Refusal {
  const appends = buildAppends(call, view, placed);
  if ("ok" in appends) return appends;
  return {
    topic: view.name,
    acks: acksOf[call.query.acks ?? "all"],
    timeoutMs: call.services.options.requestTimeoutMs,
    appends,
    trusted: true,
    idempotency: idempotencyOf(call, view, bytes),
  };
}

/** One batch a partition in the pool's memory, held by the caller; or why one of them is too large. */
function buildAppends(
  call: WriteCall,
  view: TopicView,
  placed: Placed,
): PartitionAppend[] | Refusal {
  const sizes = placed.groups.map(({ records }) => batchBytes(records));
  const large = sizes.findIndex((bytes) => bytes > view.maxMessageBytes);
  if (large >= 0) {
    const { partition } = placed.groups[large];
    const detail = `Cannot append ${sizes[large]} bytes to ${view.name}-${partition} as one batch: max.message.bytes is ${view.maxMessageBytes}; send fewer records a request or raise it`;
    return refuse("message_too_large", detail, { members: { partition } });
  }
  const conditions = conditionsOf(call);
  const producer = producerOf(call);
  const options = producer === undefined || "ok" in producer ? {} : { producer };
  return placed.groups.map(({ partition, records }, at) => {
    const batch = call.services.slabs.allocate(sizes[at]);
    buildBatch(batch.bytes, records, options);
    return conditions === null ? { partition, batch } : { partition, batch, conditions };
  });
}

/** The hash tells a replay from another request under the same key: everything that decides what is appended. */
function idempotencyOf(
  call: WriteCall,
  view: TopicView,
  body: Uint8Array,
): ProduceRequest["idempotency"] {
  const key = call.header[headerNames.idempotencyKey];
  if (key === undefined) return undefined;
  const { visit, query } = call;
  const raw = [
    query.key,
    query.keyBase64,
    query.timestamp,
    visit.headers[headerNames.recordHeaders],
  ];
  const request = [view.topicId, call.partition, call.mediaType, ...raw];
  const digest = createHash("sha256").update(JSON.stringify(request)).update("\n").update(body);
  const bodyHash = new Uint8Array(digest.digest().subarray(0, 16));
  const principal = call.principal.name;
  return { principal, key, bodyHash, partitionCount: view.partitions };
}

function answerOutcomes(
  call: WriteCall,
  view: TopicView,
  { placed, outcomes }: { placed: Placed; outcomes: readonly Outcome[] },
): Response {
  if (view.created) call.setHeader(headerNames.topicCreated, "true");
  const { length } = placed.records;
  if (call.query.acks === "0") return call.json(202, { accepted: length });
  call.services.metrics.recordsWritten += length;
  const failed = outcomes.filter((outcome) => !outcome.ok);
  const first = failed[0];
  const alike = failed.every((refusal) => refusal.code === first?.code);
  if (first !== undefined && failed.length === outcomes.length && alike) return call.refuse(first);
  tellIdempotency(call, outcomes);
  if (outcomes.length === 1 && outcomes[0].ok)
    call.tellLeader(outcomes[0].partition, outcomes[0].leaderEpoch);
  tellSession(call, view, outcomes);
  const receipts = receiptsOf(call, placed, outcomes);
  return call.text(first === undefined ? 200 : 207, `{"receipts":[${receipts}]}\n`);
}

/** Receipts in request order as JSON text, joined by commas. */
function receiptsOf(call: WriteCall, placed: Placed, outcomes: readonly Outcome[]): string {
  const texts = Array.from<string>({ length: placed.records.length });
  placed.groups.forEach(({ partition, records, places }, at) => {
    const outcome = outcomes[at];
    const problem = outcome.ok
      ? ""
      : `{"error":${JSON.stringify(problemOf(outcome, call.visit.requestId))}}`;
    for (let i = 0; i < records.length; i++) {
      texts[places[i]] = outcome.ok
        ? receiptText(partition, outcome.baseOffset + i, timestampOf(outcome, records[i]))
        : problem;
    }
  });
  return texts.join(",");
}

function tellIdempotency(call: WriteCall, outcomes: readonly Outcome[]): void {
  let expires = Infinity;
  let replayed = true;
  for (const outcome of outcomes) {
    if (!outcome.ok || !outcome.duplicate) replayed = false;
    if (outcome.ok && outcome.idempotencyExpires !== null)
      expires = Math.min(expires, outcome.idempotencyExpires);
  }
  if (replayed) call.setHeader(headerNames.idempotencyReplayed, "true");
  if (expires < Infinity) call.setHeader(headerNames.idempotencyExpires, String(expires));
}

/** Rivulet-Session of a write: a cursor behind what it wrote. */
function tellSession(call: WriteCall, view: TopicView, outcomes: readonly Outcome[]): void {
  const positions = outcomes
    .filter((outcome) => outcome.ok)
    .map(({ partition, baseOffset, recordCount }) => ({
      partition,
      offset: baseOffset + recordCount,
    }));
  const session = new CursorWriter(view.topicId, "some").write(positions);
  call.setHeader(headerNames.session, session);
}
