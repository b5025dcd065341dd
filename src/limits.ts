// One table of limits: every size, count and wait that a peer controls. GET /v1/limits prints it.
//
// The relations between them are asserted at import, so that a changed number cannot make a legal request impossible.

import { assert } from "./assert.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  /** HTTP body as sent. */
  requestBodyBytesMax: 16 * MiB,
  /** HTTP body after Content-Encoding, and one batch after decompression. */
  decodedBytesMax: 64 * MiB,
  /** Default of max.message.bytes: one batch as stored, Kafka's own number. */
  messageBytesMax: 1_048_588,
  /** Records in one JSON request. */
  recordsPerRequestMax: 10_000,
  /** Headers of one record. */
  headersPerRecordMax: 1_000,
  responseBytesMax: 16 * MiB,
  /** Stored bytes that one filtered read looks through before it answers with a cursor. */
  scannedBytesMax: 16 * MiB,
  /** Receipts of a stream of lines that may lie unread before no more of it is read ... */
  unreadReceiptBytesMax: 1 * MiB,
  /** ... and how long they may lie. */
  receiptsWaitMsMax: 30_000,
  /** Long polls and tails waiting at once on a node. */
  waitersMax: 10_000,
  waitMsMax: 30_000,
  /** Bytes in the journal's queue before appends are refused with `overloaded`. */
  journalQueueBytesMax: 64 * MiB,
  /** Batches that leaders on other nodes sent and that are not durable here; one message more is taken when there are
   *  none. Beyond it they are dropped, and sent again. */
  receivedBytesMax: 32 * MiB,
  /** One Raft entry: this much or one batch, whichever is larger. */
  entryBytesMax: 1 * MiB,
  /** One flush of all replicas. */
  flushBytesMax: 8 * MiB,
  /** A journal file is full at this size ... */
  fileBytesMax: 64 * MiB,
  /** ... or at this many rows. */
  fileRowsMax: 100_000,
  topicNameCharsMax: 249,
  partitionsPerTopicMax: 10_000,
  partitionsPerNodeMax: 20_000,
  /** Partitions that one tail may follow. */
  tailPartitionsMax: 200,
  /** Bytes buffered for one slow tailer. */
  tailBufferBytesMax: 256 * KiB,
  urlBytesMax: 16 * KiB,
  headerBytesMax: 64 * KiB,
  idempotencyKeysPerPartitionMax: 100_000,
  idempotencyKeyAgeMsMax: 24 * 3_600_000,
  fenceBytesMax: 64,
  /** Producers remembered per partition. */
  producersPerPartitionMax: 100_000,
  /** A body must arrive within this time. */
  bodyMsMax: 30_000,
  listPageMax: 1_000,
  /** Members of one cluster. */
  nodesMax: 1_000,
  /** A node's version, host name, region, and the id of its request to join ... */
  nodeTextCharsMax: 255,
  /** ... and its advertised URL. */
  nodeUrlCharsMax: 2_048,
  /** Head of a packet between nodes: a Raft message without its entries' bytes. */
  packetHeadBytesMax: 1 * MiB,
  /** Body of a packet between nodes: a forwarded request, or one entry of the largest batch, with room to spare. */
  packetBodyBytesMax: 32 * MiB,
  /** Packets of one lane that wait here for one peer. */
  laneQueueBytesMax: 64 * MiB,
  /** A packet goes in fragments of at most this much: four requests of 8 MB at once ended a connection (runtime.md). */
  fragmentBytesMax: 256 * KiB,
  /** Bytes of a lane that the peer has not acknowledged: as much as Deno's HTTP/2 window. What waits inside Bun's client
   *  costs it CPU: 16 KB packets took 2.2 CPU seconds a GB to send with 4 MiB, 1.25 with 1 MiB (November 2026). */
  laneWindowBytes: 1 * MiB,
  /** Packets of one lane whose fragments are under way together. */
  openPacketsMax: 8,
  /** A hello, a question to join and their answers. */
  helloBytesMax: 64 * KiB,
  /** Hellos whose lanes have yet to come. */
  hellosWaitingMax: 1_000,
  /** Questions under way to other nodes, and as many again from them ... */
  callsUnderWayMax: 10_000,
  /** ... and their bytes, each way. */
  callBytesMax: 128 * MiB,
} as const;

assert(
  limits.messageBytesMax <= limits.requestBodyBytesMax,
  "One message must fit into one request",
);
assert(limits.entryBytesMax <= limits.flushBytesMax, "One entry must fit into one flush");
assert(
  limits.requestBodyBytesMax <= limits.journalQueueBytesMax,
  "One request must fit into the journal's queue",
);
assert(limits.flushBytesMax < limits.fileBytesMax, "A flush must be smaller than a file");
assert(
  limits.requestBodyBytesMax + limits.packetHeadBytesMax <= limits.packetBodyBytesMax &&
    limits.responseBytesMax + limits.packetHeadBytesMax <= limits.packetBodyBytesMax,
  "A forwarded request and its answer must fit into a packet",
);
assert(
  limits.packetHeadBytesMax + limits.packetBodyBytesMax <= limits.laneQueueBytesMax &&
    limits.packetBodyBytesMax <= limits.callBytesMax,
  "One packet must fit into a lane's queue and into the calls under way",
);
