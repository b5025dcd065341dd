// Reading as lines: the records from a position up to where the log ends now, one a line, made as they are read.
//
//   {"partition":0,"offset":7,...}                                    one a record
//   {"done":true,"count":2,"cursor":"...","partitions":[...]}         the last line; or {"error":problem,"cursor":"..."}
//
// Promise: a page is made only when the connection asks for one, so that one page waits here at most, whatever the log
// holds; without the last line the rest is unknown; the cursor goes on behind what was sent, also after an error.

import type { ReadConsistency, TopicView } from "../../src/broker/broker.ts";
import { encodeUtf8 } from "../../src/bytes/unicode.ts";
import { refuse, refusalOf, type Refusal } from "../../src/errors.ts";
import type { Call } from "./call.ts";
import { CursorWriter, type Position } from "./cursor.ts";
import { partText, positionsOf, readPage, type Page } from "./page.ts";
import { problemOf } from "./problem.ts";
import type { RecordFilter } from "./record-filter.ts";
import type { ShownAs } from "./record-text.ts";

const pageBytes = 262_144;

export interface LinesRequest {
  readonly view: TopicView;
  readonly positions: readonly Position[];
  /** Partitions made later belong to the cursor too. */
  readonly all: boolean;
  readonly as: ShownAs;
  readonly filter: RecordFilter | null;
  /** Infinity: as many as there are. */
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly consistency: ReadConsistency | undefined;
}

/** The lines. A first page that is refused is an ordinary problem: it is read before the answer begins. */
export async function readLines(
  call: Call,
  request: LinesRequest,
): Promise<ReadableStream<Uint8Array> | Refusal> {
  const reader = new LineReader(call, request);
  const refused = await reader.begin();
  return refused ?? reader.stream();
}

class LineReader {
  readonly #call: Call;
  readonly #request: LinesRequest;
  readonly #cursors: CursorWriter;
  #positions: readonly Position[];
  /** Where the log ended at the beginning: a reader that is slower than the writers comes to an end too. */
  #ends: ReadonlyMap<number, number> = new Map();
  #page: Page | null = null;
  #count = 0;
  #bytes = 0;
  /** The page under way has all the room that is left to the request. */
  #isLastRoom = false;
  /** The caller has left. (A request's signal does not tell: Deno aborts it after every answer.) */
  #cancelled = false;

  constructor(call: Call, request: LinesRequest) {
    this.#call = call;
    this.#request = request;
    this.#positions = request.positions;
    const { view, all, filter } = request;
    this.#cursors = new CursorWriter(view.topicId, all ? "all" : "some", filter?.sum);
  }

  async begin(): Promise<Refusal | null> {
    const page = await this.#read();
    if (!page.ok) return page;
    this.#ends = new Map(page.parts.map((part) => [part.partition, part.highWatermark]));
    this.#page = page;
    return null;
  }

  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const { text, over } = await this.#next();
          if (this.#cancelled) return;
          controller.enqueue(encodeUtf8(text));
          if (over) controller.close();
        },
        cancel: () => {
          this.#cancelled = true;
        },
      },
      { highWaterMark: 1 },
    );
  }

  /** Lines of the next page that has any, and the last line when it was the last page. */
  async #next(): Promise<{ readonly text: string; readonly over: boolean }> {
    for (;;) {
      const page = this.#page ?? (await this.#read().catch((thrown: unknown) => refusalOf(thrown)));
      this.#page = null;
      if (!page.ok) return { text: this.#failure(page), over: true };
      this.#positions = positionsOf(page);
      this.#count += page.records.length;
      this.#bytes += page.bytes;
      this.#call.services.metrics.recordsRead += page.records.length;
      const lines = page.records.map((record) => `${oneLine(record)}\n`).join("");
      if (this.#isOver(page)) return { text: lines + this.#done(page), over: true };
      if (lines !== "") return { text: lines, over: false };
      // Pages without a wanted record come out of memory: others are to have their turn between them.
      await new Promise<void>((resolve) => this.#call.services.world.defer(resolve));
      if (this.#cancelled) return { text: "", over: true };
    }
  }

  #read(): Promise<Page | Refusal> {
    const { view, as, filter, maxRecords, maxBytes, consistency } = this.#request;
    const { services } = this.#call;
    if (services.closing.aborted) return Promise.resolve(stopping);
    const room = maxBytes - this.#bytes;
    this.#isLastRoom = room <= pageBytes;
    return readPage(services, {
      view,
      positions: this.#positions,
      maxRecords: maxRecords - this.#count,
      maxBytes: Math.min(pageBytes, room),
      fetchBytes: pageBytes,
      minBytes: 0,
      waitMs: 0,
      as,
      filter,
      consistency,
      signal: services.closing,
    });
  }

  #isOver({ parts, full, scannedBytes }: Page): boolean {
    const { maxRecords, maxBytes } = this.#request;
    if (this.#count >= maxRecords || this.#bytes >= maxBytes || scannedBytes === 0) return true;
    if (full && this.#isLastRoom) return true;
    return parts.every((part) => part.nextOffset >= (this.#ends.get(part.partition) ?? 0));
  }

  #done({ parts }: Page): string {
    const cursor = this.#cursors.write(this.#positions);
    const partitions = parts.map(partText).join(",");
    return `{"done":true,"count":${this.#count},"cursor":"${cursor}","partitions":[${partitions}]}\n`;
  }

  #failure(refusal: Refusal): string {
    const problem = JSON.stringify(problemOf(refusal, this.#call.visit.requestId));
    return `{"error":${problem},"cursor":"${this.#cursors.write(this.#positions)}"}\n`;
  }
}

const stopping = refuse("shutting_down", "The node is stopping; go on at the cursor", {
  retryAfterMs: 1_000,
});

/** as=json puts a stored text in as it is, and JSON may hold line ends between its tokens: there any white space means
 *  the same, and inside a string there can be none. */
function oneLine(record: string): string {
  return /[\r\n]/.test(record) ? record.replaceAll(/[\r\n]+/g, " ") : record;
}
