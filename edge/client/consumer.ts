// Following a topic live: an async iterator over the tail, which comes back where it was.
//
//   next() -> events at hand? -> a record: the cursor moves behind it, the caller has it
//          -> none: read on  -> broken, silent or ended -> wait -> tail again from the cursor
//
// Promise: each record from the start on is handed out once by this consumer, in order within its partition, over any
// number of broken connections. Nothing is read ahead of the caller but what the platform has received. Records that
// retention took before they were read are told, never passed over in silence.
// Why the tail and not long polls: only the tail tells a cursor behind each record, gaps, and partitions made later.

import type { Link } from "./attempt.ts";
import { pause } from "./environment.ts";
import { errorOfProblem, isProblem, RivuletError } from "./errors.ts";
import type { ServerEvent } from "./event-parser.ts";
import { ReadRecord, type RecordJson } from "./read-record.ts";
import { startQuery, type Start } from "./reading.ts";
import { TailConnection } from "./tail-connection.ts";
import { segment, type Transport } from "./transport.ts";

export interface Gap {
  readonly partition: number;
  /** The offset that was next. */
  readonly wanted: number;
  /** The first that is left. */
  readonly logStartOffset: number;
}

export interface ConsumeOptions {
  /** Default: latest. */
  readonly from?: Start;
  /** Default: all, those that are made later included. A tail follows 200 at most: of a topic with more, name some. */
  readonly partitions?: readonly number[];
  readonly signal?: AbortSignal;
  /** Retention passed the position. Absent: next() rejects with `gap`. A function: it is told, and reading goes on. */
  readonly onGap?: (gap: Gap) => void;
}

type Result = IteratorResult<ReadRecord, undefined>;
const over: Result = { done: true, value: undefined };

export class Consumer implements AsyncIterableIterator<ReadRecord, undefined> {
  readonly #transport: Transport;
  readonly #topic: string;
  readonly #options: ConsumeOptions;
  /** Aborts when this consumer ends, for whatever reason. */
  readonly #life: Link;
  #cursor: string | null = null;
  #connection: TailConnection | null = null;
  /** Read and not yet handed out: what one piece from the connection held. */
  #events: ServerEvent[] = [];
  /** Failures since a connection held. */
  #failures = 0;
  #ended: "no" | "left" | "topic_deleted" = "no";
  /** Calls run one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(transport: Transport, topic: string, options: ConsumeOptions) {
    this.#transport = transport;
    this.#topic = topic;
    this.#options = options;
    this.#life = transport.linked(options.signal);
    const { from } = options;
    if (typeof from === "object" && "cursor" in from) this.#cursor = from.cursor;
  }

  /** Behind the last record that was handed out: `from: {cursor}` goes on there. null until the position is known. */
  get cursor(): string | null {
    return this.#cursor;
  }

  /** The iteration ended because the topic was deleted. */
  get topicDeleted(): boolean {
    return this.#ended === "topic_deleted";
  }

  /** Connects. Resolves when the position is known: what is written from then on will come. Rejects as next() does. */
  open(): Promise<void> {
    return this.#inTurn(async () => {
      while (this.#ended === "no" && this.#cursor === null) {
        await this.#readOn();
        if (this.#events[0]?.type === "checkpoint") this.#cursor = this.#events[0].id;
      }
    });
  }

  /** The next record. Rejects with RivuletError, or with the reason of an abort; the iteration is over then. */
  next(): Promise<Result> {
    return this.#inTurn(async () => {
      while (this.#ended === "no") {
        const event = this.#events.shift();
        if (event === undefined) {
          await this.#readOn();
          continue;
        }
        const record = this.#take(event);
        if (record !== null) return { done: false, value: record };
      }
      return over;
    });
  }

  /** Ends the iteration and its connection. */
  return(): Promise<Result> {
    this.#end("left");
    return Promise.resolve(over);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work).catch((thrown: unknown) => {
      this.#end("left");
      throw thrown;
    });
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #end(why: "left" | "topic_deleted"): void {
    if (this.#ended !== "no") return;
    this.#ended = why;
    this.#events = [];
    this.#disconnect();
    this.#life.release();
    this.#life.abort();
  }

  #disconnect(): void {
    this.#connection?.close();
    this.#connection = null;
  }

  /** What an event means; a record, or null. */
  #take({ type, data, id }: ServerEvent): ReadRecord | null {
    if (id !== "") this.#cursor = id;
    if (type === "message") return new ReadRecord(JSON.parse(data) as RecordJson);
    if (type === "gap") this.#gap(JSON.parse(data) as Gap);
    if (type === "end") this.#end("topic_deleted");
    if (type === "problem") throw problemError(JSON.parse(data));
    return null;
  }

  #gap(gap: Gap): void {
    if (this.#options.onGap !== undefined) return this.#options.onGap(gap);
    const { partition, wanted, logStartOffset } = gap;
    const where = `${this.#topic}-${partition}`;
    throw new RivuletError(
      `Retention passed ${where}: wanted offset ${wanted}, the log starts at ${logStartOffset}`,
      { code: "gap" },
    );
  }

  /** Brings events, or waits before the next attempt. */
  async #readOn(): Promise<void> {
    try {
      this.#connection ??= await this.#connect();
      const events = await this.#connection.events();
      // The greeting alone is no success: a node that greets and leaves would be asked without a pause.
      if (this.#connection.heard > 1) this.#failures = 0;
      const passing = events.findIndex((event) => event.type === "problem" && passes(event));
      this.#events.push(...(passing < 0 ? events : events.slice(0, passing)));
      if (passing >= 0) throw problemError(JSON.parse(events[passing].data));
    } catch (thrown) {
      await this.#recover(thrown);
    }
  }

  #connect(): Promise<TailConnection> {
    const { from = "latest", partitions = [] } = this.#options;
    const last = this.#events.findLast(({ id }) => id !== "")?.id ?? this.#cursor;
    const start = last === null ? from : { cursor: last };
    return TailConnection.open(this.#transport, {
      method: "GET",
      path: `/v1/topics/${segment(this.#topic)}/tail`,
      query: startQuery(start, partitions),
      headers: { accept: "text/event-stream" },
      repeatable: true,
      signal: this.#life.signal,
    });
  }

  async #recover(thrown: unknown): Promise<void> {
    this.#disconnect();
    if (this.#ended !== "no") return;
    if (this.#life.signal.aborted) throw this.#life.signal.reason;
    if (!(thrown instanceof RivuletError)) throw thrown;
    const gone = thrown.code === "unknown_topic_or_partition" && this.#cursor !== null;
    if (gone) return this.#end("topic_deleted");
    const delayMs = this.#transport.delayAfter(thrown, {
      before: this.#failures++,
      repeatable: true,
    });
    if (delayMs === null) throw thrown;
    try {
      await pause(this.#transport.environment, delayMs, this.#life.signal);
    } catch (reason) {
      // return() while it waited is no failure.
      if (this.#ended === "no") throw reason;
    }
  }
}

function passes({ data }: ServerEvent): boolean {
  const problem: unknown = JSON.parse(data);
  return isProblem(problem) && problem.retryable;
}

function problemError(problem: unknown): RivuletError {
  if (isProblem(problem)) return errorOfProblem(problem);
  return new RivuletError("The tail sent a problem that is none", { code: "bad_answer" });
}
