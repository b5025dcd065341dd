// Batches against kafkajs, both ways: what it writes we read and take, what we write it reads.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { buildControlBatch, controlBatchBytes } from "../../src/records/control-batch.ts";
import { inspectBatch, stampBatch, stampMaxTimestamp } from "../../src/records/batch-layout.ts";
import { validateBatch } from "../../src/records/batch-validator.ts";
import { anyRecord, anyRules, ascii, batchOf, codecs, plain, readAll, record } from "./samples.ts";
import {
  fromKafkajs,
  kafkajsDecode,
  kafkajsEncode,
  kafkajsProduceBatch,
  toMessage,
} from "./kafkajs-batch.ts";

/** kafkajs keeps headers in a plain object: names must be distinct and none of Object's own; it cannot write null. */
const kafkajsRecords = fc.array(
  anyRecord.map((one) => {
    const named = new Map(one.headers.map(([name, value]) => [`h-${name}`, value ?? ascii("")]));
    return { ...one, headers: [...named] };
  }),
  { minLength: 1, maxLength: 40 },
);

describe("a batch that kafkajs wrote", () => {
  for (const compression of codecs) {
    test(`is taken and read record by record (${compression})`, async () => {
      await fc.assert(
        fc.asyncProperty(kafkajsRecords, async (records) => {
          const bytes = await kafkajsEncode(records.map(toMessage), { compression });
          expect(validateBatch(bytes, anyRules)).toMatchObject({
            ok: true,
            header: { codec: compression, recordCount: records.length, producerId: -1 },
            maxTimestamp: Math.max(-1, ...records.map((one) => one.timestamp)),
          });
          expect(plain(readAll(bytes))).toEqual(plain(records));
        }),
        { numRuns: 40 },
      );
    });
  }

  test("says its producer, epoch, sequence and transaction", async () => {
    const producer = { producerId: 4_000_000_000_123, producerEpoch: 9, firstSequence: 77 };
    const bytes = await kafkajsEncode([toMessage(record())], { ...producer, transactional: true });
    expect(inspectBatch(bytes)).toMatchObject({
      producerId: producer.producerId,
      producerEpoch: 9,
      baseSequence: 77,
      transactional: true,
      control: false,
    });
    expect(validateBatch(bytes, anyRules)).toMatchObject({ ok: true });
  });

  test("may lie about its largest timestamp: we say the true one and set it", async () => {
    // Its producer sorts timestamps as texts: of 5 and 10 it sends 5 as the largest.
    const messages = [5, 10].map((timestamp) => toMessage(record({ timestamp })));
    const bytes = await kafkajsProduceBatch(messages);
    const valid = validateBatch(bytes, anyRules);
    expect(valid).toMatchObject({ ok: true, maxTimestamp: 10, header: { maxTimestamp: 5 } });
    stampMaxTimestamp(bytes, 0, 10);
    expect(validateBatch(bytes, anyRules)).toMatchObject({
      ok: true,
      header: { maxTimestamp: 10 },
    });
  });
});

describe("a batch that we wrote", () => {
  for (const codec of codecs) {
    test(`is read by kafkajs record by record (${codec})`, async () => {
      await fc.assert(
        fc.asyncProperty(kafkajsRecords, fc.nat(2 ** 40), async (records, baseOffset) => {
          const bytes = batchOf(records, { codec });
          stampBatch(bytes, 0, { baseOffset, leaderEpoch: 3 });
          const batch = await kafkajsDecode(bytes);
          expect(batch).toMatchObject({ partitionLeaderEpoch: 3, isControlBatch: false });
          expect(plain(batch.records.map(fromKafkajs))).toEqual(plain(records));
          const offsets = records.map((_, delta) => String(baseOffset + delta));
          expect(batch.records.map((one) => one.offset)).toEqual(offsets);
        }),
        { numRuns: 40 },
      );
    });
  }

  test("is byte for byte what kafkajs writes, but for the fields that say nothing", async () => {
    const records = [record({ key: ascii("k"), headers: [["h", ascii("v")]] }), record()];
    const producer = { id: 5, epoch: 1, baseSequence: 0 };
    const ours = batchOf(records, { producer });
    const theirs = await kafkajsEncode(records.map(toMessage), {
      producerId: 5,
      producerEpoch: 1,
      firstSequence: 0,
    });
    // kafkajs sends leader epoch 0 where Kafka's own client sends -1; the leader sets it anyway.
    stampBatch(ours, 0, { baseOffset: 0, leaderEpoch: 0 });
    expect([...ours]).toEqual([...theirs]);
  });

  test("keeps null header values and repeated names", async () => {
    const headers = [
      ["a", null],
      ["b", ascii("1")],
      ["b", null],
      ["b", ascii("")],
    ] as const;
    const batch = await kafkajsDecode(batchOf([record({ headers })]));
    expect(plain(batch.records.map(fromKafkajs))).toEqual(plain([record({ headers })]));
  });

  test("carries producer and transaction to kafkajs", async () => {
    const producer = { id: 2 ** 40, epoch: 32_767, baseSequence: 2 ** 31 - 1 };
    const batch = await kafkajsDecode(batchOf([record()], { producer, transactional: true }));
    expect(batch).toMatchObject({
      producerId: String(2 ** 40),
      producerEpoch: 32_767,
      firstSequence: 2 ** 31 - 1,
      inTransaction: true,
    });
  });

  test("as a marker is a control batch to kafkajs", async () => {
    const target = new Uint8Array(controlBatchBytes);
    const marker = {
      type: "commit",
      coordinatorEpoch: 7,
      producerId: 5,
      producerEpoch: 2,
    } as const;
    buildControlBatch(target, { ...marker, timestamp: 1_000 });
    const batch = await kafkajsDecode(target);
    expect(batch).toMatchObject({ isControlBatch: true, inTransaction: true, producerId: "5" });
    expect([...(batch.records[0].key ?? [])]).toEqual([0, 0, 0, 1]);
    expect([...(batch.records[0].value ?? [])]).toEqual([0, 0, 0, 0, 0, 7]);
  });
});
