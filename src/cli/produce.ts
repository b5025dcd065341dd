// rivulet produce: lines of standard input become records.
//
//   stdin -> lines that are there together -> batches -> one request at a time, so that order is kept
//
// Promise: input is read no faster than the node takes it; each batch has an Idempotency-Key and is sent again with
// the same bytes when its answer was lost, so that a line is written once. On failure the lines are named. After a
// signal the lines that are there are still written, an unfinished one is not, and the exit code is the signal's.

import { systemWorld } from "../world.ts";
import { Client, describeProblem, isObject, segment, Unreachable } from "./client.ts";
import type { Call } from "./commands.ts";
import { Failure } from "./failure.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { Interrupted, interruptibleInput } from "./interruptible-input.ts";
import { lineGroups } from "./lines.ts";
import { recordOfLine, type LineFormat } from "./record-line.ts";

/** Half of the default max.message.bytes: a batch of short lines is never too large for a topic of default limits. */
const batchCharsMax = 512 * 1024;
const batchRecordsMax = 1_000;
const lineBytesMax = 16 * 1024 * 1024;
/** Waits before the same batch is sent again; then it is given up. Together about half a minute. */
const retryAfterMs = [100, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000];

interface Batch {
  /** JSON text of each record. */
  readonly records: readonly string[];
  /** Number of the first and last line that it came from. */
  readonly firstLine: number;
  readonly lastLine: number;
}

interface Sender {
  readonly client: Client;
  readonly path: string;
  readonly call: Call;
  /** Ctrl-C: what is under way is tried once more, and not waited for. */
  readonly interrupted: AbortSignal;
  /** The node has answered once: from then on it is waited for. One that never did is a wrong URL, or none. */
  answered: boolean;
}

export async function produce(call: Call): Promise<number> {
  const { options, positionals } = call;
  const interrupt = listenForInterrupt(systemWorld);
  const sender = {
    client: new Client(options.url),
    path: `/v1/topics/${segment(positionals[0])}/records`,
    call,
    interrupted: interrupt.signal,
    answered: false,
  };
  try {
    await sendInput(sender);
    return interrupt.exitCode() ?? 0;
  } finally {
    interrupt.release();
  }
}

/** Writes the input to its end, or to a signal; says how much was written however it ends. */
async function sendInput(sender: Sender): Promise<void> {
  const { options, terminal } = sender.call;
  const format: LineFormat = {
    as: options.readAs,
    keySeparator: unescape(options.keySeparator),
    partition: options.partition,
  };
  if (terminal.typed) terminal.say("Type a record a line; Ctrl-D ends");
  const input = interruptibleInput(terminal.input(), sender.interrupted, systemWorld);
  let written = 0;
  try {
    for await (const batch of batches(input, format)) written += await send(sender, batch);
  } catch (thrown) {
    if (thrown instanceof Failure)
      throw new Failure(`${thrown.message}\n${count(written)} before that`, { cause: thrown });
    if (!(thrown instanceof Interrupted)) throw thrown;
  }
  if (!options.json) terminal.say(count(written));
}

const count = (records: number): string =>
  `${records} record${records === 1 ? " was" : "s were"} written`;

/** A tab is hard to type into a shell. */
export function unescape(separator: string | null): string | null {
  return separator?.replaceAll("\\t", "\t") ?? null;
}

/** Records of the lines that came together, cut at the bounds. A bad line ends the input after the lines before it. */
async function* batches(
  input: AsyncIterable<Uint8Array>,
  format: LineFormat,
): AsyncGenerator<Batch> {
  let line = 0;
  for await (const group of lineGroups(input, lineBytesMax)) {
    let records: string[] = [];
    let chars = 0;
    let firstLine = line + 1;
    let bad: unknown = null;
    for (const bytes of group) {
      line++;
      const record = attempt(() => recordOfLine(bytes, line, format));
      if (record instanceof Failure) {
        bad = record;
        break;
      }
      if (record === null) continue;
      const full = records.length >= batchRecordsMax || chars + record.length > batchCharsMax;
      if (full && records.length > 0) {
        yield { records, firstLine, lastLine: line - 1 };
        [records, chars, firstLine] = [[], 0, line];
      }
      records.push(record);
      chars += record.length;
    }
    if (records.length > 0) yield { records, firstLine, lastLine: line };
    if (bad !== null) throw bad;
  }
}

function attempt<T>(work: () => T): T | Failure {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof Failure) return thrown;
    throw thrown;
  }
}

/** Writes a batch; in halves when the topic takes only smaller ones. Resolves to the number of records. */
async function send(sender: Sender, batch: Batch): Promise<number> {
  const answer = await sendUntilAnswered(sender, batch);
  if (answer.status === 413 && batch.records.length > 1) {
    const middle = batch.records.length >> 1;
    const before = { ...batch, records: batch.records.slice(0, middle) };
    const after = { ...batch, records: batch.records.slice(middle) };
    return (await send(sender, before)) + (await send(sender, after));
  }
  const refused = firstRefusal(answer);
  if (refused !== null)
    throw new Failure(
      `${linesOf(batch)} not written: ${describeProblem(answer.status, refused, "the node")}`,
    );
  if (sender.call.options.json) await printReceipts(sender, answer.json);
  return batch.records.length;
}

interface Reply {
  readonly status: number;
  readonly json: unknown;
}

async function sendUntilAnswered(sender: Sender, batch: Batch): Promise<Reply> {
  const { client, path, call } = sender;
  const ask = {
    method: "POST",
    headers: { "idempotency-key": Buffer.from(systemWorld.randomBytes(16)).toString("hex") },
    body: `{"records":[${batch.records.join(",")}]}`,
    accept: everyRefusal,
  } as const;
  for (let attempts = 0; ; attempts++) {
    const answer = await client.ask(path, ask).catch((fault: unknown) => {
      if (fault instanceof Unreachable) return fault;
      throw fault;
    });
    if (answer instanceof Unreachable && !sender.answered) throw answer;
    sender.answered = true;
    const again = answer instanceof Unreachable || mayRetry(answer);
    if (!again) return answer;
    if (attempts >= retryAfterMs.length) return giveUp(batch, answer);
    if (attempts === 0) call.terminal.say("The node does not take records now; trying again");
    await pauseUnlessInterrupted(sender, retryAfterMs[attempts]);
    // The attempt that follows is the last one.
    if (sender.interrupted.aborted) attempts = retryAfterMs.length - 1;
  }
}

async function pauseUnlessInterrupted({ call, interrupted }: Sender, ms: number): Promise<void> {
  if (interrupted.aborted) return;
  const woken = Promise.withResolvers<void>();
  const wake = (): void => woken.resolve();
  interrupted.addEventListener("abort", wake);
  await Promise.race([call.terminal.pause(ms), woken.promise]);
  interrupted.removeEventListener("abort", wake);
}

/** Every status that holds a problem: the answer is judged here, not by the client. */
const everyRefusal = Array.from({ length: 200 }, (_, i) => 400 + i);

function giveUp(batch: Batch, answer: Reply | Unreachable): Reply {
  if (!(answer instanceof Unreachable)) return answer;
  const { firstLine, lastLine } = batch;
  const lines = firstLine === lastLine ? `Line ${firstLine}` : `Lines ${firstLine}-${lastLine}`;
  throw new Failure(`${lines} may not have been written. ${answer.message}`, {
    cause: answer,
  });
}

function mayRetry({ status, json }: Reply): boolean {
  const problem = status === 207 ? firstRefusal({ status, json }) : json;
  return status >= 207 && isObject(problem) && problem.retryable === true;
}

/** The problem of the whole answer, or of the first place of it that failed; null when everything was written. */
function firstRefusal({ status, json }: Reply): unknown {
  if (status >= 400) return firstFieldError(json) ?? json ?? {};
  const receipts = isObject(json) && Array.isArray(json.receipts) ? json.receipts : [];
  return receipts.find((receipt) => isObject(receipt) && isObject(receipt.error))?.error ?? null;
}

/** 400 answers name each bad record: {errors: [{index, code, detail}]}. */
function firstFieldError(json: unknown): unknown {
  const errors = isObject(json) && Array.isArray(json.errors) ? json.errors : [];
  return errors.find(isObject) ?? null;
}

async function printReceipts(sender: Sender, json: unknown): Promise<void> {
  const receipts = isObject(json) && Array.isArray(json.receipts) ? json.receipts : [];
  const lines = receipts.map((receipt) => `${JSON.stringify(receipt)}\n`).join("");
  await sender.call.terminal.out(lines);
}

function linesOf({ firstLine, lastLine }: Batch): string {
  return firstLine === lastLine ? `Line ${firstLine} was` : `Lines ${firstLine}-${lastLine} were`;
}
