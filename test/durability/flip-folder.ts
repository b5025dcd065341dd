// A data folder as a real node leaves it, copies of it that were damaged, and what may then be seen of them.
//
// The folder is written over HTTP, one request after the other, so that what was acknowledged is a sequence: after a cut
// the log may be as it was at some earlier commit, but never have a hole, another order, or another byte.

import { createHash } from "node:crypto";
import { cp, open, readdir, readFile, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { NodeProcess } from "./node-process.ts";

/** A record that was acknowledged. `request` counts the requests that wrote. */
export interface Written {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly offset: number;
  readonly request: number;
  /** Base64, as `as=base64` shows it. */
  readonly value: string;
}

export const topics = [
  { name: "orders", partitions: 2 },
  { name: "blobs", partitions: 1 },
] as const;

interface Answer {
  readonly status: number;
  readonly body: {
    readonly code?: string;
    readonly detail?: string;
    readonly topicId?: string;
    readonly receipts?: readonly { readonly partition: number; readonly offset: number }[];
    readonly records?: readonly { readonly offset: number; readonly valueBase64: string }[];
  };
}

async function call(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  return { status: response.status, body: (await response.json()) as Answer["body"] };
}

const post = (url: string, body: unknown): Promise<Answer> =>
  call(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** Makes the topics and writes about `bytes` bytes: small records in batches, large ones alone. */
export async function writeFolder(
  node: NodeProcess,
  options: { readonly random: () => number; readonly bytes: number },
): Promise<readonly Written[]> {
  const ids = new Map<string, string>();
  for (const topic of topics) {
    const made = await post(`${node.url}/v1/topics`, topic);
    if (made.status !== 201) throw new Error(`Cannot make ${topic.name}: ${made.body.detail}`);
    ids.set(topic.name, made.body.topicId ?? "");
  }
  const written: Written[] = [];
  let bytes = 0;
  for (let request = 0; bytes < options.bytes; request++) {
    const topic = topics[request % topics.length];
    const values = valuesOf(topic.name, options.random);
    const records = values.map((value, n) => ({
      partition: (request + n) % topic.partitions,
      valueBase64: value,
    }));
    const answer = await post(`${node.url}/v1/topics/${topic.name}/records`, { records });
    if (answer.status !== 200) throw new Error(`A write was answered ${answer.body.detail}`);
    const at = { topic: topic.name, topicId: ids.get(topic.name) ?? "" };
    answer.body.receipts?.forEach(({ partition, offset }, n) =>
      written.push({ ...at, partition, offset, request, value: values[n] }),
    );
    bytes += values.reduce((sum, value) => sum + value.length, 0);
  }
  return written;
}

/** Writes `count` more records to each partition, one a request. */
export async function appendRecords(
  node: NodeProcess,
  written: readonly Written[],
  count: number,
): Promise<readonly Written[]> {
  const last = written.at(-1)?.request ?? 0;
  const more: Written[] = [];
  for (const { name: topic, partitions } of topics) {
    const topicId = written.find((one) => one.topic === topic)?.topicId ?? "";
    for (let n = 0; n < count * partitions; n++) {
      const partition = n % partitions;
      const value = Buffer.from(`behind the loss, ${topic} ${n}`).toString("base64");
      const records = [{ partition, valueBase64: value }];
      const answer = await post(`${node.url}/v1/topics/${topic}/records`, { records });
      if (answer.status !== 200) throw new Error(`A write was answered ${answer.body.detail}`);
      const { offset } = answer.body.receipts![0];
      more.push({ topic, topicId, partition, offset, request: last + 1 + more.length, value });
    }
  }
  return more;
}

function valuesOf(topic: string, random: () => number): readonly string[] {
  const [count, length] = topic === "blobs" ? [1, 60_000] : [20, 400];
  return Array.from({ length: count }, () =>
    noise(1 + Math.floor(random() * length), random).toString("base64"),
  );
}

const noise = (length: number, random: () => number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, () => random() * 256));

/** What was done to a copy. `file` is relative to the folder. */
export type Harm =
  | { readonly kind: "flip"; readonly file: string; readonly byte: number; readonly bit: number }
  | { readonly kind: "cut"; readonly file: string; readonly byte: number };

/** Relative names and sizes of all files that are not empty, by name. */
export async function filesOf(
  folder: string,
): Promise<readonly { readonly name: string; readonly bytes: number }[]> {
  const entries = await readdir(folder, { recursive: true });
  const files: { name: string; bytes: number }[] = [];
  for (const name of entries.sort()) {
    const found = await stat(join(folder, name));
    if (found.isFile() && found.size > 0) files.push({ name, bytes: found.size });
  }
  return files;
}

/** What holds the log; every other file can be made anew, or names itself. */
const logFile = /\.db(?:-wal)?$/;
const logShare = 0.75;

/** A file at random, mostly of the log, and a place in it at random: a small file is as likely as a large one. */
export function harmOf(
  files: readonly { readonly name: string; readonly bytes: number }[],
  options: { readonly kind: Harm["kind"]; readonly random: () => number },
): Harm {
  const wantLog = options.random() < logShare;
  const ofKind = files.filter(
    ({ name }) => (name.startsWith("journal") && logFile.test(name)) === wantLog,
  );
  const { name: file, bytes } = ofKind[Math.floor(options.random() * ofKind.length)];
  const byte = Math.floor(options.random() * bytes);
  if (options.kind === "cut") return { kind: "cut", file, byte };
  return { kind: "flip", file, byte, bit: Math.floor(options.random() * 8) };
}

/** Copies the folder and harms the copy. Holes stay holes. */
export async function harmedCopy(folder: string, copy: string, harm: Harm): Promise<void> {
  await cp(folder, copy, { recursive: true });
  const path = join(copy, harm.file);
  if (harm.kind === "cut") return truncate(path, harm.byte);
  const file = await open(path, "r+");
  try {
    const one = new Uint8Array(1);
    await file.read(one, 0, 1, harm.byte);
    one[0] ^= 1 << harm.bit;
    await file.write(one, 0, 1, harm.byte);
  } finally {
    await file.close();
  }
}

export function describeHarm(harm: Harm): string {
  if (harm.kind === "cut") return `${harm.file} cut at byte ${harm.byte}`;
  return `${harm.file} bit ${harm.bit} of byte ${harm.byte} flipped`;
}

/** One sum over all files, to see that nobody changed them. */
export async function sumOf(folder: string): Promise<string> {
  const sum = createHash("sha1");
  for (const { name } of await filesOf(folder))
    sum.update(name).update(await readFile(join(folder, name)));
  return sum.digest("hex");
}

/** What a node on the copy serves of what was written. */
export interface Seen {
  served: number;
  /** Answered with a problem: its code, at which record. */
  readonly refused: { readonly record: Written; readonly code: string }[];
  /** Answered as if it had never been there. */
  readonly missing: Written[];
  /** Another value than was written, or records that nobody wrote: words. */
  readonly wrong: string[];
}

export const describeSeen = ({ served, refused, missing, wrong }: Seen): string =>
  `${served} served, ${refused.length} refused, ${missing.length} missing, ${wrong.length} wrong`;

/** Codes by which a node says that an offset lies outside of its log: nothing of damage. */
const beyondCodes: ReadonlySet<string> = new Set([
  "offset_out_of_range",
  "unknown_topic_or_partition",
]);

/** Asks for every record that was written, and for what lies behind the last. */
export async function readBack(url: string, written: readonly Written[]): Promise<Seen> {
  const seen: Seen = { served: 0, refused: [], missing: [], wrong: [] };
  for (const topic of topics) {
    for (let partition = 0; partition < topic.partitions; partition++) {
      const wanted = written.filter(
        (one) => one.topic === topic.name && one.partition === partition,
      );
      const path = `${url}/v1/topics/${topic.name}/partitions/${partition}/records`;
      for (let next = 0; next < wanted.length;) {
        const answer = await call(`${path}?offset=${next}&as=base64&maxBytes=4194304`);
        next += take(answer, wanted.slice(next), seen);
      }
    }
  }
  return seen;
}

/** Judges one answer against the records from the asked offset on. Returns by how many records to go on. */
function take(answer: Answer, wanted: readonly Written[], seen: Seen): number {
  const code = answer.body.code ?? "";
  const records = answer.body.records ?? [];
  if (answer.status !== 200 && !beyondCodes.has(code)) {
    seen.refused.push({ record: wanted[0], code: code === "" ? `status ${answer.status}` : code });
    return 1;
  }
  if (records.length === 0) {
    seen.missing.push(...wanted);
    return wanted.length;
  }
  records.forEach(({ offset, valueBase64 }, n) => {
    const place = n < wanted.length ? wanted[n] : null;
    if (place?.offset === offset && place.value === valueBase64) seen.served++;
    else seen.wrong.push(`${place?.topic}-${place?.partition}/${offset}, wanted ${place?.offset}`);
  });
  return records.length;
}
