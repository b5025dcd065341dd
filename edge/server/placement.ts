// Where each record of a request goes: by its own partition, the path's, its key (Kafka's murmur2), or together with the
// other keyless records of the request.
//
// Promise: all records are placed or none; order within a partition is request order.

import type { TopicView } from "../../src/broker/broker.ts";
import { partitionForKey } from "../../src/bytes/murmur2.ts";
import { encodeUtf8 } from "../../src/bytes/unicode.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import { timestampFault } from "../../src/records/batch-validator.ts";
import { headerNames } from "../contract/names.ts";
import type { Call } from "./call.ts";
import type { InputError } from "./problem.ts";
import { errorsMax, invalidRecords, type RecordInput } from "./record-json.ts";

/** The records of one partition and their places in the request. */
export interface Group {
  readonly partition: number;
  readonly records: RecordInput[];
  readonly places: number[];
}

export interface Placed {
  readonly ok: true;
  readonly records: readonly RecordInput[];
  /** One a partition, in order of first appearance. */
  readonly groups: readonly Group[];
}

/** The topic as the first try of a request with an Idempotency-Key met it: partitions may have been added since, and a
 *  retry must find its records again. */
export function viewOfFirstTry(
  call: Call,
  view: TopicView,
  records: readonly RecordInput[],
): TopicView | Refusal | Promise<TopicView | Refusal> {
  const key = call.visit.headers[headerNames.idempotencyKey];
  if (key === undefined || call.partition >= 0) return view;
  const count = call.services.broker.countForKey({
    topic: view.name,
    principal: call.principal.name,
    key,
    partitionsOf: (partitions) => records.map((record) => placeOf(record, key, partitions)),
  });
  if (count === view.partitions) return view;
  return Promise.resolve(count).then((found) =>
    typeof found === "number" ? { ...view, partitions: found } : found,
  );
}

function placeOf(record: RecordInput, idempotencyKey: string, partitions: number): number {
  if (record.partition >= 0) return record.partition;
  return partitionForKey(record.key ?? encodeUtf8(idempotencyKey), partitions);
}

/** Gives each record its partition and, where it has none, the node's clock as timestamp. */
export function placeRecords(
  call: Call,
  view: TopicView,
  records: readonly RecordInput[],
): Placed | Refusal {
  if (call.partition >= view.partitions) return unknownPartition(call.topic, call.partition, view);
  const errors = checkRecords(call, view, records);
  if (errors.length > 0) {
    return invalidRecords(`Cannot write records: ${errors[0].detail}`, errors);
  }
  const now = call.services.world.now();
  let keyless = -1;
  for (const record of records) {
    if (record.timestamp < 0) record.timestamp = now;
    if (record.partition >= 0) continue;
    if (call.partition >= 0) record.partition = call.partition;
    else if (record.key !== null) record.partition = partitionForKey(record.key, view.partitions);
    else record.partition = keyless < 0 ? (keyless = keylessPartition(call, view)) : keyless;
  }
  return { ok: true, records, groups: groupsOf(records) };
}

export function unknownPartition(topic: string, partition: number, view: TopicView): Refusal {
  const detail = `Topic ${topic} has partitions 0 to ${view.partitions - 1}, got ${partition}`;
  return refuse("unknown_topic_or_partition", detail);
}

/** With an Idempotency-Key its hash decides, so that a retry lands where the first attempt did. */
function keylessPartition(call: Call, view: TopicView): number {
  const key = call.visit.headers[headerNames.idempotencyKey];
  return key === undefined
    ? call.services.nextKeylessPartition(view.partitions)
    : partitionForKey(encodeUtf8(key), view.partitions);
}

/** Which records the topic cannot take, by their partitions and timestamps; in request order. The broker judges each
 *  partition's batch by itself: what it would refuse must be found here, before another partition's is appended. */
export function checkRecords(
  call: Call,
  view: TopicView,
  records: readonly RecordInput[],
): readonly InputError[] {
  const errors: InputError[] = [];
  const rules = { ...view, now: call.services.world.now() };
  const timed = view.timestampType === "CreateTime";
  for (let index = 0; index < records.length && errors.length < errorsMax; index++) {
    const { partition, timestamp } = records[index];
    const late = timed && timestamp >= 0 ? timestampFault(timestamp, rules) : null;
    if (late !== null) errors.push({ index, code: "invalid_timestamp", detail: late });
    if (partition < 0) continue;
    if (call.partition >= 0 && partition !== call.partition) {
      const detail = `the path says partition ${call.partition}, the record ${partition}`;
      errors.push({ index, code: "invalid_record", detail });
    } else if (partition >= view.partitions) {
      const { detail } = unknownPartition(call.topic, partition, view);
      errors.push({ index, code: "unknown_topic_or_partition", detail });
    }
  }
  return errors;
}

function groupsOf(records: readonly RecordInput[]): readonly Group[] {
  // A request of one record needs no table of groups.
  if (records.length === 1)
    return [{ partition: records[0].partition, records: [records[0]], places: [0] }];
  const groups = new Map<number, Group>();
  for (let place = 0; place < records.length; place++) {
    const record = records[place];
    let group = groups.get(record.partition);
    if (group === undefined) {
      group = { partition: record.partition, records: [], places: [] };
      groups.set(record.partition, group);
    }
    group.records.push(record);
    group.places.push(place);
  }
  return [...groups.values()];
}
