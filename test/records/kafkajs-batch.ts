// kafkajs' own record encoder and decoder, as a judge that nobody here wrote. Its zstd codec is plugged in as its users do.

import { createRequire } from "node:module";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { NewRecord, RecordHeader } from "../../src/records/batch-builder.ts";
import { codecNumbers, type Codec } from "../../src/records/batch-layout.ts";

interface Encoder {
  readonly buffer: Buffer;
}

/** What its decoder makes of a batch. */
export interface KafkajsBatch {
  readonly firstOffset: string;
  readonly partitionLeaderEpoch: number;
  readonly maxTimestamp: string;
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly firstSequence: number;
  readonly inTransaction: boolean;
  readonly isControlBatch: boolean;
  readonly records: readonly KafkajsRecord[];
}

export interface KafkajsRecord {
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer | null | (Buffer | null)[]>>;
}

/** A record as its users write it. */
export interface KafkajsMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer>>;
  readonly timestamp: number;
}

const load = createRequire(import.meta.url);
const encodeRecord = load("kafkajs/src/protocol/recordBatch/record/v0") as (
  record: KafkajsMessage & { offsetDelta: number; timestampDelta: number },
) => Encoder;
const { RecordBatch } = load("kafkajs/src/protocol/recordBatch/v0") as {
  RecordBatch: (options: Readonly<Record<string, unknown>>) => Promise<Encoder>;
};
const decodeBatch = load("kafkajs/src/protocol/recordBatch/v0/decoder") as (
  decoder: unknown,
) => Promise<KafkajsBatch>;
const Decoder = load("kafkajs/src/protocol/decoder") as new (bytes: Buffer) => unknown;
const produceV3 = load("kafkajs/src/protocol/requests/produce/v3/request") as (
  request: Readonly<Record<string, unknown>>,
) => { encode(): Promise<Encoder> };
const { Codecs } = load("kafkajs/src/protocol/message/compression") as {
  Codecs: Record<number, () => unknown>;
};

Codecs[codecNumbers.zstd] = () => ({
  compress: (encoder: Encoder) => Promise.resolve(zstdCompressSync(encoder.buffer)),
  decompress: (bytes: Buffer) => Promise.resolve(zstdDecompressSync(bytes)),
});

export interface KafkajsOptions {
  readonly compression?: Codec;
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly firstSequence?: number;
  readonly transactional?: boolean;
}

/** A batch as its producer sends it. */
export async function kafkajsEncode(
  messages: readonly KafkajsMessage[],
  options: KafkajsOptions = {},
): Promise<Uint8Array> {
  const { compression = "none", ...rest } = options;
  const times = messages.map((message) => message.timestamp);
  const firstTimestamp = times[0];
  const records = messages.map((message, offsetDelta) =>
    encodeRecord({ ...message, offsetDelta, timestampDelta: message.timestamp - firstTimestamp }),
  );
  const batch = await RecordBatch({
    ...rest,
    compression: codecNumbers[compression],
    records,
    firstTimestamp,
    maxTimestamp: Math.max(...times),
    lastOffsetDelta: messages.length - 1,
  });
  return new Uint8Array(batch.buffer);
}

/** The batch inside a whole Produce request of its producer, with the timestamps that the producer itself sets. */
export async function kafkajsProduceBatch(
  messages: readonly KafkajsMessage[],
): Promise<Uint8Array> {
  const topicData = [{ topic: "t", partitions: [{ partition: 0, messages }] }];
  const request = await produceV3({ acks: -1, timeout: 1, topicData }).encode();
  // transactional id (null) 2, acks 2, timeout 4, topics 4, name 2 + 1, partitions 4, partition 4, size 4
  return new Uint8Array(request.buffer.subarray(27));
}

export function kafkajsDecode(bytes: Uint8Array): Promise<KafkajsBatch> {
  return decodeBatch(new Decoder(Buffer.from(bytes)));
}

const buffer = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes));

/** Our record as its users would write it; header names must be distinct and their values present. */
export function toMessage(record: NewRecord): KafkajsMessage {
  const headers = record.headers.map(([name, value]) => [name, Buffer.from(value ?? [])] as const);
  const { timestamp } = record;
  return {
    key: buffer(record.key),
    value: buffer(record.value),
    timestamp,
    headers: Object.fromEntries(headers),
  };
}

/** Its record as one of ours. */
export function fromKafkajs(record: KafkajsRecord): NewRecord {
  const headers = Object.entries(record.headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((each): RecordHeader => [name, each]),
  );
  return { key: record.key, value: record.value, headers, timestamp: Number(record.timestamp) };
}
