// What a bench does: write, read, tail. Each against the same doors that a person's own client uses.
//
//   write   so many requests under way, each the same batch; a latency is one request, sent to answered
//   read    one reader from the earliest record to the end, then from the start again; a latency is one page, parsed
//   tail    one record each 10 ms and one tail; a latency is from sending a record to seeing it there
//
// Promise: a refusal that may pass is counted and waited out; any other ends the phase with its words.

import { benchBounds, type PhaseName } from "./bench-plan.ts";
import type { PhaseRun } from "./bench-run.ts";
import { describeProblem, isObject, Unreachable } from "./client.ts";
import { Failure } from "./failure.ts";
import { eventGroups, type ServerEvent } from "./sse.ts";

/** After a refusal that may pass, ms. */
const refusedPauseMs = 20;
const pageRecords = 10_000;
const pageBytes = 4 * 1024 * 1024;

export const phases: Readonly<Record<PhaseName, (run: PhaseRun) => Promise<void>>> = {
  write,
  read,
  tail,
};

async function write(run: PhaseRun): Promise<void> {
  const { plan } = run.ground;
  const record = JSON.stringify({ value: textOf(run, plan.recordBytes) });
  const body = `{"records":[${Array.from({ length: plan.batch }, () => record).join(",")}]}`;
  const sent = { records: plan.batch, bytes: plan.batch * plan.recordBytes };
  const one = async (): Promise<void> => {
    while (!run.over) {
      const ms = await post(run, body);
      if (ms !== null) run.count({ ...sent, ms });
    }
  };
  await allOrFirstFailure(run, Array.from({ length: plan.inFlight }, one));
}

/** Every worker ends, also when one fails: a write that is still under way could make a deleted topic anew. */
async function allOrFirstFailure(run: PhaseRun, workers: readonly Promise<void>[]): Promise<void> {
  const ends = workers.map((worker) =>
    worker.catch((fault: unknown) => {
      run.stoppedBy ??= "a request failed";
      throw fault;
    }),
  );
  const failed = (await Promise.allSettled(ends)).find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** One write. Its latency in ms; null when it was refused for the moment or cut off. */
async function post(run: PhaseRun, body: string): Promise<number | null> {
  const { client, path, world, pause } = run.ground;
  const began = world.monotonic();
  const ask = { method: "POST", body, signal: run.cut.signal } as const;
  const response = await client.send(`${path}/records`, ask).catch((fault: unknown) => fault);
  if (!(response instanceof Response)) return cutOffOrThrow(run, response);
  if (response.status === 200) {
    await response.arrayBuffer();
    return world.monotonic() - began;
  }
  const json: unknown = await response.json().catch(() => null);
  if (!mayPass(json)) throw new Failure(describeProblem(response.status, json, "The node"));
  run.refused++;
  await pause(refusedPauseMs);
  return null;
}

/** A 207 holds its problem at the first place that failed. */
function mayPass(json: unknown): boolean {
  const receipts = isObject(json) && Array.isArray(json.receipts) ? json.receipts : [];
  const place: unknown = receipts.find((one) => isObject(one) && isObject(one.error));
  const problem = isObject(place) ? place.error : json;
  return isObject(problem) && problem.retryable === true;
}

function cutOffOrThrow(run: PhaseRun, fault: unknown): null {
  if (run.cut.signal.aborted && fault instanceof Unreachable) return null;
  throw fault;
}

interface Page {
  readonly records: readonly { readonly value?: string | null; readonly valueBase64?: string }[];
  readonly cursor: string;
  readonly partitions: readonly { readonly nextOffset: number; readonly highWatermark: number }[];
}

async function read(run: PhaseRun): Promise<void> {
  const { client, path, world } = run.ground;
  const room = `maxRecords=${pageRecords}&maxBytes=${pageBytes}`;
  let from = "from=earliest";
  while (!run.over) {
    const began = world.monotonic();
    const ask = { signal: run.cut.signal };
    const answer = await client
      .ask(`${path}/records?${from}&${room}`, ask)
      .catch((fault: unknown) => cutOffOrThrow(run, fault));
    if (answer === null) return;
    const page = answer.json as Page;
    if (page.records.length === 0 && from === "from=earliest")
      throw new Failure("There are no records to read: let the bench write too, or name a --topic");
    const ms = world.monotonic() - began;
    run.count({ records: page.records.length, bytes: bytesOf(page), ms });
    const behind = page.partitions.some((one) => one.nextOffset < one.highWatermark);
    from = behind ? `cursor=${page.cursor}` : "from=earliest";
  }
}

function bytesOf({ records }: Page): number {
  return records.reduce((sum, { value, valueBase64 = "" }) => {
    const text = typeof value === "string" ? Buffer.byteLength(value) : 0;
    return sum + text + Buffer.byteLength(valueBase64, "base64");
  }, 0);
}

/** When each record that was not seen yet was sent, by its key. */
type Unseen = Map<string, number>;

async function tail(run: PhaseRun): Promise<void> {
  const { client, path } = run.ground;
  const response = await client.send(`${path}/tail?from=latest`, {
    headers: { accept: "text/event-stream" },
    signal: run.cut.signal,
  });
  if (!response.ok || response.body === null)
    throw new Failure(describeProblem(response.status, await response.json(), "The node"));
  const unseen: Unseen = new Map();
  const events = eventGroups(response.body);
  // The first event is the checkpoint of where the tail begins: what is sent from here on comes.
  await events.next();
  const watching = watch(run, events, unseen);
  try {
    await sendEvenly(run, unseen);
    await lastOnes(run, unseen);
  } finally {
    run.missing = unseen.size;
    run.cut.abort();
    await watching;
  }
}

async function watch(
  run: PhaseRun,
  events: AsyncGenerator<readonly ServerEvent[]>,
  unseen: Unseen,
): Promise<void> {
  const { plan, world } = run.ground;
  try {
    for await (const group of events) for (const event of group) seen(event);
    run.stoppedBy ??= "the tail ended";
  } catch (fault) {
    if (!run.cut.signal.aborted) run.stoppedBy ??= `the tail broke off (${String(fault)})`;
  }
  function seen({ event, data }: ServerEvent): void {
    if (event !== "message") return;
    const { key } = JSON.parse(data) as { readonly key?: string | null };
    const sentAt = unseen.get(key ?? "");
    if (sentAt === undefined) return;
    unseen.delete(key ?? "");
    run.count({ records: 1, bytes: plan.recordBytes, ms: world.monotonic() - sentAt });
  }
}

/** One record each 10 ms, sent whether or not the ones before have come. */
async function sendEvenly(run: PhaseRun, unseen: Unseen): Promise<void> {
  const { plan, world, pause } = run.ground;
  const value = textOf(run, plan.recordBytes);
  const prefix = textOf(run, 12);
  const underWay = new Set<Promise<void>>();
  let failed: unknown = null;
  let due = world.monotonic();
  for (let n = 0; !run.over; n++) {
    if (unseen.size < benchBounds.tailUnseenMax) {
      const key = `${prefix}-${n}`;
      unseen.set(key, world.monotonic());
      const sent = post(run, JSON.stringify({ records: [{ key, value }] }))
        .then((ms) => void (ms === null && unseen.delete(key)))
        .catch((fault: unknown) => {
          run.stoppedBy ??= "a request failed";
          failed ??= fault;
        })
        .finally(() => underWay.delete(sent));
      underWay.add(sent);
    }
    due = Math.max(due + benchBounds.tailEveryMs, world.monotonic());
    await pause(Math.max(0, due - world.monotonic()));
  }
  await Promise.all(underWay);
  if (failed !== null) throw failed;
}

/** What was written last may still be on its way. */
async function lastOnes(run: PhaseRun, unseen: Unseen): Promise<void> {
  const { world, pause } = run.ground;
  const until = world.monotonic() + benchBounds.lateMsInterrupted;
  while (unseen.size > 0 && world.monotonic() < until) await pause(benchBounds.tailEveryMs);
}

/** Text that does not compress to nothing, of so many bytes. */
function textOf(run: PhaseRun, bytes: number): string {
  const random = run.ground.world.randomBytes(Math.ceil((bytes * 3) / 4));
  return Buffer.from(random).toString("base64url").slice(0, bytes);
}
