// rivulet consume: records become lines of standard output.
//
//   follow       one tail (server-sent events); when it breaks or falls silent, another from the last cursor
//   --until-end  pages of reads, up to each partition's end as the first page told it
//
// Promise: a record is printed once and in its partition's order, also over a broken connection; printing waits for
// the reader, so a slow pipe slows the tail instead of filling memory. What retention took is told, never skipped silently.

import { systemWorld } from "../world.ts";
import { Client, describeProblem, isObject, segment, Unreachable } from "./client.ts";
import type { Call } from "./commands.ts";
import { Failure } from "./failure.ts";
import { unescape } from "./produce.ts";
import { lineOfRecord, type ShownRecord } from "./record-line.ts";
import { tailSilenceMsMax, untilSilent } from "./silence.ts";
import { eventGroups, type ServerEvent } from "./sse.ts";

const reconnectAfterMs = 1_000;
const pageRecords = 1_000;
const pageBytes = 4 * 1024 * 1024;

export async function consume(call: Call): Promise<number> {
  const client = new Client(call.options.url);
  const path = `/v1/topics/${segment(call.positionals[0])}`;
  const printer = new Printer(call);
  if (call.options.untilEnd) await readToEnd(client, `${path}/records`, { call, printer });
  else await follow(client, `${path}/tail`, { call, printer });
  await printer.flush();
  return 0;
}

interface Reader {
  readonly call: Call;
  readonly printer: Printer;
}

/** Lines gathered for one write, and the count that --max bounds. */
class Printer {
  readonly #call: Call;
  readonly #format: { readonly as: "value" | "json" | "kv"; readonly keySeparator: string };
  #lines: Uint8Array[] = [];
  #bytes = 0;
  #left: number;

  constructor(call: Call) {
    const { printAs, keySeparator, max, json } = call.options;
    this.#call = call;
    this.#format = { as: json ? "json" : printAs, keySeparator: unescape(keySeparator) ?? "\t" };
    this.#left = max ?? Number.POSITIVE_INFINITY;
  }

  /** Enough was printed. */
  get done(): boolean {
    return this.#left <= 0;
  }

  /** Takes a record; writes when 64 KB are there. */
  async print(record: ShownRecord, json: string): Promise<void> {
    if (this.done) return;
    const line = lineOfRecord(record, json, this.#format);
    this.#lines.push(line);
    this.#bytes += line.length;
    this.#left--;
    if (this.#bytes > 64 * 1024) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#lines.length === 0) return;
    const bytes = Buffer.concat(this.#lines);
    this.#lines = [];
    this.#bytes = 0;
    await this.#call.terminal.out(bytes);
  }
}

interface Page {
  readonly records: readonly ShownRecord[];
  readonly cursor: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly nextOffset: number;
    readonly highWatermark: number;
  }[];
}

async function readToEnd(client: Client, path: string, { call, printer }: Reader): Promise<void> {
  const query = startQuery(call, "earliest");
  query.set("maxRecords", String(pageRecords));
  query.set("maxBytes", String(pageBytes));
  let ends: ReadonlyMap<number, number> | null = null;
  for (;;) {
    const page = (await client.ask(`${path}?${query}`)).json as Page;
    ends ??= new Map(page.partitions.map((one) => [one.partition, one.highWatermark]));
    for (const record of page.records) {
      const wanted = record.offset < (ends.get(record.partition) ?? 0);
      if (wanted) await printer.print(record, JSON.stringify(record));
    }
    await printer.flush();
    const behind = page.partitions.some(
      ({ partition, nextOffset }) => nextOffset < (ends?.get(partition) ?? 0),
    );
    if (!behind || printer.done) return;
    for (const name of ["from", "offset", "timestamp", "last"]) query.delete(name);
    query.set("cursor", page.cursor);
  }
}

async function follow(client: Client, path: string, reader: Reader): Promise<void> {
  const { call, printer } = reader;
  const query = startQuery(call, "latest");
  let cursor: string | null = null;
  let connected = false;
  for (;;) {
    const outcome = await tailOnce(client, `${path}?${query}`, { ...reader, cursor });
    await printer.flush();
    cursor = outcome.cursor ?? cursor;
    if (outcome.ended) return;
    if (outcome.fault !== null && !connected) throw outcome.fault;
    if (outcome.fault === null || outcome.cursor !== null)
      call.terminal.say("The tail broke off; going on as soon as the node answers");
    connected = true;
    await call.terminal.pause(reconnectAfterMs);
  }
}

interface TailOutcome {
  /** Where to go on; null when nothing came. */
  readonly cursor: string | null;
  /** There will be no more, or enough was printed. */
  readonly ended: boolean;
  /** There was no connection, or a refusal that may pass. */
  readonly fault: Failure | null;
}

async function tailOnce(
  client: Client,
  url: string,
  reader: Reader & { readonly cursor: string | null },
): Promise<TailOutcome> {
  let cursor: string | null = null;
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (reader.cursor !== null) headers["last-event-id"] = reader.cursor;
    const response = await client.send(url, { headers });
    if (response.status === 204) return deleted(reader);
    if (!response.ok || response.body === null) return await refused(response);
    const chunks = untilSilent(response.body, { world: systemWorld, silenceMs: tailSilenceMsMax });
    for await (const events of eventGroups(chunks)) {
      for (const event of events) {
        const ended = await show(event, reader);
        cursor = event.id ?? cursor;
        if (ended) return { cursor, ended: true, fault: null };
      }
      await reader.printer.flush();
    }
    return { cursor, ended: false, fault: null };
  } catch (thrown) {
    if (thrown instanceof Unreachable) return { cursor, ended: false, fault: thrown };
    // The body broke off; a Failure or a closed pipe is ours.
    if (thrown instanceof TypeError || isSocketFault(thrown))
      return { cursor, ended: false, fault: null };
    throw thrown;
  }
}

function isSocketFault(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string";
}

function deleted({ call }: Reader): TailOutcome {
  call.terminal.say("The topic was deleted");
  return { cursor: null, ended: true, fault: null };
}

async function refused(response: Response): Promise<TailOutcome> {
  const json: unknown = await response.json().catch(() => null);
  const failure = new Failure(describeProblem(response.status, json, new URL(response.url).origin));
  const passes = response.status >= 500 || (isObject(json) && json.retryable === true);
  if (!passes) throw failure;
  return { cursor: null, ended: false, fault: failure };
}

/** Prints a record or tells of a named event. True when nothing more will come. */
async function show(event: ServerEvent, { call, printer }: Reader): Promise<boolean> {
  switch (event.event) {
    case "message":
      await printer.print(JSON.parse(event.data) as ShownRecord, event.data);
      return printer.done;
    case "gap":
      call.terminal.say(`Records are missing, retention took them: ${event.data}`);
      return false;
    case "problem":
      call.terminal.say(`The node reports: ${event.data}`);
      return false;
    case "end":
      return deleted({ call, printer }).ended;
    default:
      return false;
  }
}

/** The query that says where to begin. Throws Failure for a --from that is none. */
function startQuery({ options }: Call, fallback: "earliest" | "latest"): URLSearchParams {
  const query = new URLSearchParams();
  if (options.partition !== null) query.set("partition", String(options.partition));
  if (options.last !== null) query.set("last", String(options.last));
  else query.set(...positionOf(options.from ?? fallback));
  return query;
}

function positionOf(from: string): [name: string, value: string] {
  if (from === "earliest" || from === "latest") return ["from", from];
  if (/^\d{1,16}$/.test(from)) return ["offset", from];
  if (/^\d{4}-\d\d-\d\d/.test(from) && !Number.isNaN(Date.parse(from))) return ["timestamp", from];
  throw new Failure(
    `--from must be earliest, latest, an offset or a time such as 2026-01-31T12:00:00Z, got "${from}"`,
  );
}
