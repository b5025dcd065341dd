// Writing a stream of lines: records go in as they come, receipts come out as they are made, on one request.
//
//   body -> intake -> lines -> one batch a partition -> broker.produce -> receipts -> answer
//             ^                                                              |
//             +--- not read on while 1 MB of receipts lies unread <----------+
//
// Promise: one batch is under way at a time, of all lines that came meanwhile, so that lines are appended in order and a
// failure leaves nothing behind it in its partition; each line appended has its receipt, in order, unless ranges were
// asked for; the last line says how it ended. A first line that is refused is an ordinary problem.

import type {
  AppendConditions,
  Acks,
  Appended,
  PartitionAppend,
  TopicView,
} from "../../src/broker/broker.ts";
import { encodeUtf8 } from "../../src/bytes/unicode.ts";
import { refuse, refusalOf, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { batchBytes, buildBatch, type BatchProducer } from "../../src/records/batch-builder.ts";
import { headerNames } from "../contract/names.ts";
import type { Call } from "./call.ts";
import { bodyEncoding } from "./content-encoding.ts";
import type { Deadline } from "./deadlines.ts";
import { linesAnswer } from "./lines-answer.ts";
import { LineIntake } from "./ndjson-intake.ts";
import { LineRecords, type LineBatch } from "./ndjson-records.ts";
import { checkRecords, placeRecords, type Placed } from "./placement.ts";
import { problemOf } from "./problem.ts";
import { ReceiptRanges, receiptText, timestampOf } from "./receipts.ts";
import { invalidRecords } from "./record-json.ts";

/** What the request asks of every batch of its stream. */
export interface LinePlan {
  readonly acks: Acks;
  readonly receipts: "each" | "summary";
  /** Of the first batch; those that follow go on behind it. */
  readonly conditions: AppendConditions | null;
  readonly producer: BatchProducer | undefined;
}

/** Answers the request whose body is lines. */
export async function writeLines(call: Call, plan: LinePlan): Promise<Response> {
  const encoding = bodyEncoding(call.visit.headers["content-encoding"]);
  if (encoding !== null && typeof encoding === "object") return call.refuse(encoding);
  const body = call.visit.request.body ?? new Blob([]).stream();
  const intake = new LineIntake(call.services, body, encoding);
  const writer = new LineWriter(call, plan, intake);
  const first = await writer.begin();
  if (first.refused === null) return linesAnswer(call, writer.stream(first));
  intake.stop(first.refused);
  return call.refuse(first.refused);
}

interface Step {
  /** Receipts, then perhaps the last line; each with its line end. */
  readonly text: string;
  /** It holds the last line. */
  readonly over: boolean;
  /** Nothing was appended by the whole request, for this reason. */
  readonly refused: Refusal | null;
}

type Outcome = Appended | (Refusal & { readonly partition: number });

class LineWriter {
  readonly #call: Call;
  readonly #plan: LinePlan;
  readonly #intake: LineIntake;
  readonly #lines: LineRecords;
  readonly #ranges = new ReceiptRanges();
  #view: TopicView | null = null;
  /** Where records without key and partition go: one partition a request. */
  #keyless = -1;
  /** Lines appended. */
  #count = 0;
  #conditions: AppendConditions | null;
  #producer: BatchProducer | undefined;
  #cancelled = false;
  #pulled: (isRead: boolean) => void = () => undefined;

  constructor(call: Call, plan: LinePlan, intake: LineIntake) {
    this.#call = call;
    this.#plan = plan;
    this.#intake = intake;
    this.#lines = new LineRecords(intake);
    this.#conditions = plan.conditions;
    this.#producer = plan.producer;
  }

  /** The first batch, so that what is refused at once has a status of its own. */
  async begin(): Promise<Step> {
    const { broker, closing } = this.#call.services;
    closing.addEventListener("abort", this.#stopping);
    const first = await this.#lines.first();
    if (first === "end") return this.#ending("end", { line: 0, receipts: "" });
    if (first !== null) return this.#ending(first, { line: this.#lines.line + 1, receipts: "" });
    const view = await broker.topicForWrite(this.#call.topic);
    if ("ok" in view) return this.#ending(view, { line: this.#lines.line + 1, receipts: "" });
    this.#view = view;
    if (view.created) this.#call.setHeader(headerNames.topicCreated, "true");
    return await this.#step();
  }

  /** The answer from the first step on. */
  stream(first: Step): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => void this.#pump(controller, first),
        pull: () => this.#pulled(true),
        cancel: () => {
          this.#cancelled = true;
          this.#intake.stop(notRead);
          this.#pulled(false);
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: limits.unreadReceiptBytesMax }),
    );
  }

  async #pump(controller: ReadableStreamDefaultController<Uint8Array>, first: Step): Promise<void> {
    let step = first;
    for (;;) {
      if (this.#cancelled) return this.#left();
      if (step.text !== "") controller.enqueue(encodeUtf8(step.text));
      if (step.over) break;
      const isRead = await this.#room(controller);
      if (this.#cancelled) return this.#left();
      step = isRead ? await this.#step() : this.#unread();
    }
    controller.close();
    this.#left();
  }

  /** Waits until the caller has read on; false when it did not in time, or left. */
  async #room(controller: ReadableStreamDefaultController<Uint8Array>): Promise<boolean> {
    if ((controller.desiredSize ?? 0) > 0) return true;
    const { deadlines, world } = this.#call.services;
    const waiting = Promise.withResolvers<boolean>();
    const dueAt = world.monotonic() + limits.receiptsWaitMsMax;
    const deadline: Deadline = { dueAt, expire: () => waiting.resolve(false) };
    this.#pulled = waiting.resolve;
    deadlines.add(deadline);
    const isRead = await waiting.promise;
    deadlines.remove(deadline);
    return isRead;
  }

  readonly #stopping = (): void => this.#intake.stop(stopping);

  #left(): void {
    this.#call.services.closing.removeEventListener("abort", this.#stopping);
  }

  #unread(): Step {
    this.#intake.stop(notRead);
    return this.#ending(notRead, { line: this.#lines.line + 1, receipts: "" });
  }

  /** One batch of lines, appended and told. */
  async #step(): Promise<Step> {
    try {
      const known = this.#view!;
      const view = this.#call.services.broker.topicById(known.topicId);
      if (view === null) return this.#deleted(known.name);
      const room = Math.min(view.maxMessageBytes, limits.messageBytesMax);
      const batch = this.#placeable(await this.#lines.next(room), view);
      if (batch.records.length === 0) return this.#told(batch, []);
      const placed = placeRecords(this.#call, view, batch.records);
      if (!placed.ok) return this.#ending(placed, { line: batch.lines[0], receipts: "" });
      return this.#told(batch, outcomesByPlace(placed, await this.#append(view, placed)));
    } catch (thrown) {
      return this.#ending(refusalOf(thrown), { line: this.#lines.line + 1, receipts: "" });
    }
  }

  #deleted(topic: string): Step {
    const detail = `Topic ${topic} was deleted`;
    const refusal = refuse("unknown_topic_or_partition", detail);
    return this.#ending(refusal, { line: this.#lines.line + 1, receipts: "" });
  }

  /** Ends before the first record whose partition is not there; keyless records stay together. */
  #placeable(batch: LineBatch, view: TopicView): LineBatch {
    const { services, partition } = this.#call;
    for (const record of batch.records) {
      if (record.key !== null || record.partition >= 0 || partition >= 0) continue;
      if (this.#keyless < 0) this.#keyless = services.nextKeylessPartition(view.partitions);
      record.partition = this.#keyless;
    }
    const fault = checkRecords(this.#call, view, batch.records)[0];
    if (fault === undefined) return batch;
    const { index = 0, code, detail } = fault;
    return {
      records: batch.records.slice(0, index),
      lines: batch.lines.slice(0, index),
      follows: invalidRecords(`Cannot place the record: ${detail}`, [{ code, detail }]),
      line: batch.lines[index],
    };
  }

  async #append(view: TopicView, placed: Placed): Promise<readonly Outcome[]> {
    const { broker, slabs, options } = this.#call.services;
    const conditions = this.#conditions;
    const built = this.#producer === undefined ? {} : { producer: this.#producer };
    const appends = placed.groups.map(({ partition, records }): PartitionAppend => {
      const batch = slabs.allocate(batchBytes(records));
      buildBatch(batch.bytes, records, built);
      return conditions === null ? { partition, batch } : { partition, batch, conditions };
    });
    try {
      const outcomes = await broker.produce({
        topic: view.name,
        acks: this.#plan.acks,
        timeoutMs: options.requestTimeoutMs,
        appends,
        trusted: true,
      });
      this.#goOn(outcomes);
      return outcomes;
    } finally {
      for (const { batch } of appends) batch.release();
    }
  }

  /** Conditions come on the partition's route alone: what holds for one batch is asked of the next behind it. */
  #goOn([outcome]: readonly Outcome[]): void {
    if (!outcome.ok) return;
    const { baseOffset, recordCount } = outcome;
    if (this.#conditions?.expectedOffset !== undefined) {
      this.#conditions = { ...this.#conditions, expectedOffset: baseOffset + recordCount };
    }
    if (this.#producer === undefined) return;
    const baseSequence = (this.#producer.baseSequence + recordCount) % sequencesEnd;
    this.#producer = { ...this.#producer, baseSequence };
  }

  /** Receipts up to the first line that failed. */
  #told(batch: LineBatch, outcomes: readonly PlaceOutcome[]): Step {
    const { records, lines } = batch;
    const failed = outcomes.findIndex((outcome) => !outcome.of.ok);
    const good = failed < 0 ? records.length : failed;
    const texts: string[] = [];
    for (let i = 0; i < good; i++) {
      const { of, at } = outcomes[i];
      if (!of.ok) break;
      const offset = of.baseOffset + at;
      if (this.#plan.receipts === "summary") this.#ranges.add(of.partition, offset);
      else texts.push(`${receiptText(of.partition, offset, timestampOf(of, records[i]))}\n`);
    }
    this.#count += good;
    this.#call.services.metrics.recordsWritten += good;
    const receipts = texts.join("");
    if (failed >= 0)
      return this.#ending(failureOf(outcomes, failed), { line: lines[failed], receipts });
    if (batch.follows === "more") return { text: receipts, over: false, refused: null };
    return this.#ending(batch.follows, { line: batch.line, receipts });
  }

  /** The last line, behind what is told before it. */
  #ending(why: "end" | Refusal, at: { readonly line: number; readonly receipts: string }): Step {
    const summary = this.#plan.receipts === "summary";
    const counted = summary ? `,"count":${this.#count},"ranges":[${this.#ranges.texts()}]` : "";
    if (why === "end") {
      const rest = summary ? counted : `,"count":${this.#count}`;
      return { text: `${at.receipts}{"done":true${rest}}\n`, over: true, refused: null };
    }
    const problem = JSON.stringify(problemOf(why, this.#call.visit.requestId));
    return {
      text: `${at.receipts}{"error":${problem},"line":${at.line}${counted}}\n`,
      over: true,
      refused: this.#count > 0 ? null : { ...why, members: { ...why.members, line: at.line } },
    };
  }
}

/** Sequences are 31 bits and begin anew. */
const sequencesEnd = 2 ** 31;

const stopping = refuse("shutting_down", "The node is stopping; what was receipted is appended", {
  retryAfterMs: 1_000,
});

const notRead = refuse(
  "receipts_not_read",
  `More than ${limits.unreadReceiptBytesMax} bytes of receipts lay unread for ${limits.receiptsWaitMsMax} ms; read them while you write, or ask for receipts=summary`,
);

/** What became of one record: its batch's outcome, and its place in it. */
interface PlaceOutcome {
  readonly of: Outcome;
  readonly at: number;
}

function outcomesByPlace(placed: Placed, outcomes: readonly Outcome[]): readonly PlaceOutcome[] {
  const found = Array.from<PlaceOutcome>({ length: placed.records.length });
  placed.groups.forEach(({ places }, group) => {
    const of = outcomes[group];
    for (const [at, place] of places.entries()) found[place] = { of, at };
  });
  return found;
}

/** Lines behind it may have been appended in other partitions: then whoever writes them again writes them twice. */
function failureOf(outcomes: readonly PlaceOutcome[], failed: number): Refusal {
  const refusal = outcomes[failed].of as Refusal;
  const more = outcomes.slice(failed).some(({ of }) => of.ok);
  return more ? { ...refusal, sideEffects: "unknown" } : refusal;
}
