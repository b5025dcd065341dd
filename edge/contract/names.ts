// Names that travel: header fields, media types and the door's prefix, one spelling for server, client and documents.

/** Header fields in lower case, as every runtime shows them. */
export const headerNames = {
  contentType: "content-type",
  idempotencyKey: "idempotency-key",
  idempotencyReplayed: "idempotency-replayed",
  idempotencyExpires: "idempotency-expires",
  lastEventId: "last-event-id",
  traceparent: "traceparent",
  expectedOffset: "rivulet-expected-offset",
  fence: "rivulet-fence",
  producerId: "rivulet-producer-id",
  producerEpoch: "rivulet-producer-epoch",
  producerSequence: "rivulet-producer-sequence",
  recordHeaders: "rivulet-headers",
  requestId: "rivulet-request-id",
  consistency: "rivulet-consistency",
  session: "rivulet-session",
  forward: "rivulet-forward",
  version: "rivulet-version",
  node: "rivulet-node",
  term: "rivulet-term",
  leader: "rivulet-leader",
  topicCreated: "rivulet-topic-created",
} as const;

/** Every header that begins so is Rivulet's own: one that a route does not know is refused. */
export const ownHeaderPrefix = "rivulet-";

export const mediaTypes = {
  json: "application/json",
  problem: "application/problem+json",
  bytes: "application/octet-stream",
  lines: "application/x-ndjson",
  text: "text/plain",
  html: "text/html; charset=utf-8",
  form: "application/x-www-form-urlencoded",
  events: "text/event-stream",
  metrics: "text/plain; version=0.0.4; charset=utf-8",
} as const;

/** Cadence of the tail, ms. A filtered tail tells where it is at most each `checkpointMs` while it passes records over. */
export const tailTimes = { commentMs: 15_000, retryMs: 1_000, checkpointMs: 1_000 } as const;
