// kill -9 under load, round after round, on a real process, and the checker of what must then hold.
//
// Each round: several writers post batches to one topic, each request with an Idempotency-Key of its own; at a random
// moment the process dies by SIGKILL; it is started again; requests whose outcome is unknown are sent once more with
// the same key. Then everything is read back.
//
// What must hold: every acknowledged record is there, at the offset of its receipt, once; no record that nobody sent;
// of one writer the order of its requests; offsets dense from 0 to the high watermark; a key that was acknowledged
// answers the same receipts again after the crash. Run long: `bun test/durability/kill-rounds.ts --rounds 100`.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNodeProcess, type NodeProcess } from "./node-process.ts";
import { seededRandom } from "./seeded-random.ts";

const topic = "kill-rounds";
const partitions = 3;
const writers = 6;

interface Receipt {
  readonly partition: number;
  readonly offset: number;
}

/** One request: its records carry `<writer>/<sequence>/<n>` as value, so that each is known again. */
interface Sent {
  readonly writer: number;
  readonly sequence: number;
  readonly key: string;
  readonly body: string;
  readonly count: number;
  receipts: readonly Receipt[] | null;
}

export interface KillRoundsResult {
  readonly rounds: number;
  readonly acknowledged: number;
  readonly retried: number;
  readonly replayed: number;
  readonly records: number;
  /** Start to ready after each kill, ms. */
  readonly readyMs: readonly number[];
}

export interface KillRoundsOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly args?: readonly string[];
}

/** Runs the rounds in a temporary folder, then stops in order and reads once more. Throws an Error that names the
 *  seed and what was lost or invented. */
export async function killRounds(options: KillRoundsOptions): Promise<KillRoundsResult> {
  const data = await mkdtemp(join(tmpdir(), "rivulet-kill-"));
  const random = seededRandom(options.seed);
  const start = () => startNodeProcess({ data, args: options.args });
  const sent: Sent[] = [];
  const readyMs: number[] = [];
  let retried = 0;
  let replayed = 0;
  let node: NodeProcess = await start();
  try {
    await createTopic(node.url);
    for (let round = 0; round < options.rounds; round++) {
      await loadThenKill(node, { random, sent });
      const startedAt = performance.now();
      node = await start();
      readyMs.push(Math.round(performance.now() - startedAt));
      retried += await retryUnknown(node.url, sent);
      replayed += await replaySome(node.url, sent, random);
      await check(node.url, sent);
    }
    const code = await node.stop();
    if (code !== 0) throw new Error(`SIGTERM ended with exit code ${code}:\n${node.output()}`);
    node = await start();
    await check(node.url, sent);
  } catch (cause) {
    throw new Error(`Kill rounds failed at seed ${options.seed}`, { cause });
  } finally {
    await node.killHard();
    await rm(data, { recursive: true, force: true });
  }
  const acknowledged = sent.filter((one) => one.receipts !== null).length;
  const records = sent.reduce((sum, one) => sum + one.count, 0);
  return { rounds: options.rounds, acknowledged, retried, replayed, records, readyMs };
}

async function createTopic(url: string): Promise<void> {
  const response = await fetch(`${url}/v1/topics`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: topic, partitions }),
  });
  if (response.status !== 201) throw new Error(`Cannot create the topic: ${await response.text()}`);
}

/** Writers post until the process is gone; it dies at a random moment. */
async function loadThenKill(
  node: NodeProcess,
  state: { readonly random: () => number; readonly sent: Sent[] },
): Promise<void> {
  const dead = new AbortController();
  const writing = Array.from({ length: writers }, async (_, writer) => {
    while (!dead.signal.aborted) {
      const one = nextRequest(writer, state);
      state.sent.push(one);
      try {
        one.receipts = await post(node.url, one);
      } catch {
        return; // the process died: the outcome is unknown
      }
    }
  });
  const killAfterMs = 20 + state.random() * 400;
  await new Promise((resolve) => setTimeout(resolve, killAfterMs));
  await node.killHard();
  dead.abort();
  await Promise.all(writing);
}

function nextRequest(
  writer: number,
  state: { readonly random: () => number; readonly sent: readonly Sent[] },
): Sent {
  const sequence = state.sent.length;
  const count = 1 + Math.floor(state.random() * 20);
  const padding = "x".repeat(Math.floor(state.random() ** 4 * 20_000));
  const records = Array.from({ length: count }, (_, n) => ({
    partition: writer % partitions,
    key: `${writer}`,
    value: `${writer}/${sequence}/${n}/${padding}`,
  }));
  const body = JSON.stringify({ records });
  return { writer, sequence, key: `w${writer}-${sequence}`, body, count, receipts: null };
}

async function post(url: string, one: Sent): Promise<readonly Receipt[]> {
  const response = await fetch(`${url}/v1/topics/${topic}/records`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": one.key },
    body: one.body,
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`Write was answered ${response.status}: ${text}`);
  const { receipts } = JSON.parse(text) as { receipts: Receipt[] };
  if (receipts.length !== one.count) throw new Error(`Wanted ${one.count} receipts: ${text}`);
  return receipts;
}

/** Requests without an answer are sent again with their key, in order. They must be placed exactly once. */
async function retryUnknown(url: string, sent: readonly Sent[]): Promise<number> {
  const unknown = sent.filter((one) => one.receipts === null);
  for (const one of unknown) one.receipts = await post(url, one);
  return unknown.length;
}

/** Requests that were answered before the crash must hear the same receipts again. */
async function replaySome(
  url: string,
  sent: readonly Sent[],
  random: () => number,
): Promise<number> {
  const chosen = Array.from({ length: 10 }, () => sent[Math.floor(random() * sent.length)]);
  for (const one of chosen) {
    const again = await post(url, one);
    const place = (receipts: readonly Receipt[] | null) =>
      JSON.stringify(receipts?.map(({ partition, offset }) => [partition, offset]));
    if (place(again) !== place(one.receipts)) {
      const wanted = place(one.receipts);
      throw new Error(`Key ${one.key} wanted the receipts ${wanted}, got ${place(again)}`);
    }
  }
  return chosen.length;
}

async function check(url: string, sent: readonly Sent[]): Promise<void> {
  const wanted = new Map<string, string>();
  for (const one of sent) {
    one.receipts?.forEach(({ partition, offset }, n) =>
      wanted.set(`${partition}/${offset}`, `${one.writer}/${one.sequence}/${n}/`),
    );
  }
  let seen = 0;
  for (let partition = 0; partition < partitions; partition++) {
    seen += await checkPartition(url, partition, wanted);
  }
  if (seen !== wanted.size) throw new Error(`Wanted ${wanted.size} records, found ${seen}`);
}

/** Reads one partition from the start. Offsets are dense, each record the one that its receipt named. */
async function checkPartition(
  url: string,
  partition: number,
  wanted: ReadonlyMap<string, string>,
): Promise<number> {
  let next = 0;
  const lastOfWriter = new Map<string, number>();
  for (;;) {
    const path = `/v1/topics/${topic}/partitions/${partition}/records`;
    const response = await fetch(`${url}${path}?offset=${next}&maxRecords=10000&maxBytes=8388608`);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`Read was answered ${response.status}: ${text}`);
    const { records } = JSON.parse(text) as { records: { offset: number; value: string }[] };
    if (records.length === 0) return next;
    for (const { offset, value } of records) {
      if (offset !== next) throw new Error(`Partition ${partition}: wanted ${next}, got ${offset}`);
      const expected = wanted.get(`${partition}/${offset}`);
      const found = value.slice(0, 40);
      if (expected === undefined || !value.startsWith(expected)) {
        throw new Error(`${partition}/${offset}: wanted ${expected ?? "nothing"}, found ${found}`);
      }
      const [writer, sequence] = value.split("/", 2);
      const last = lastOfWriter.get(writer) ?? -1;
      if (Number(sequence) < last) {
        throw new Error(`${partition}/${offset}: request ${sequence} stands after ${last}`);
      }
      lastOfWriter.set(writer, Number(sequence));
      next++;
    }
  }
}

function argument(name: string, otherwise: number): number {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
}

if (import.meta.main) {
  const result = await killRounds({
    rounds: argument("--rounds", 20),
    seed: argument("--seed", Math.floor(Math.random() * 1e9)),
  });
  console.log(JSON.stringify(result));
}
