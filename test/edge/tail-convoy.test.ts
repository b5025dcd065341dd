// Tailers that travel together, fall behind and come back: whatever each reads and when, it gets every record once.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { EventReader } from "./events.ts";
import { openDoor, overriding, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;
const open: EventReader[] = [];

/** What the door asks of the broker. */
let questions = 0;

beforeEach(async () => {
  node = await openDoor({}, (broker) =>
    overriding(broker, {
      topicById(id) {
        questions++;
        return broker.topicById(id);
      },
      fetch(request) {
        questions++;
        return broker.fetch(request);
      },
    }),
  );
  await node.ask("POST /v1/topics", { name: "t", partitions: 2 });
});

afterEach(async () => {
  for (const events of open.splice(0)) await events.cancel();
  await node.close();
});

async function tail(query = "", lastEventId?: string): Promise<EventReader> {
  const headers = new Headers(lastEventId === undefined ? [] : [["last-event-id", lastEventId]]);
  const reader = new EventReader(await node.send(`GET /v1/topics/t/tail${query}`, { headers }));
  open.push(reader);
  return reader;
}

async function metric(name: string): Promise<number> {
  const { text } = await node.ask("GET /metrics");
  return Number(new RegExp(`^rivulet_http_${name} (\\d+)$`, "m").exec(text)?.[1]);
}

const write = (partition: number, value: string, key = "a"): Promise<unknown> =>
  node.ask(`POST /v1/topics/t/partitions/${partition}/records`, { records: [{ key, value }] });

test("one that fell behind gets what it missed from what its convoy sent, encoded once", async () => {
  const [slow, quick] = [await tail("?partition=0"), await tail("?partition=0")];
  await slow.next();
  await quick.next();
  const count = 40;
  for (let i = 0; i < count; i++) {
    await write(0, "x".repeat(1_000));
    expect((await quick.record()).json["offset"]).toBe(i);
  }
  // More than the buffer of a connection holds, in chunks of one record.
  for (let i = 0; i < count; i++) expect((await slow.record()).json["offset"]).toBe(i);
  await write(0, "together again");
  for (const one of [slow, quick])
    expect((await one.record()).json["value"]).toBe("together again");
  expect(await metric("records_encoded_total")).toBe(count + 1);
  expect(await metric("records_tailed_total")).toBe(2 * (count + 1));
});

/** What the door asks of the broker for a record that all of these get. */
async function asked(tails: readonly EventReader[]): Promise<number> {
  const before = questions;
  await write(0, "v");
  for (const one of tails) await one.record();
  return questions - before;
}

test("many at one place ask the broker no more than one does, also when they have been behind", async () => {
  const tails = [await tail("?partition=0")];
  await tails[0].next();
  await asked(tails);
  const alone = await asked(tails);
  for (let i = 0; i < 20; i++) {
    tails.push(await tail("?partition=0"));
    await tails.at(-1)?.next();
  }
  await asked(tails);
  expect(await asked(tails)).toBe(alone);
  const [quick, ...slow] = tails;
  for (let i = 0; i < 20; i++) await asked([quick]);
  for (const one of slow) {
    for (let i = 0; i < 20; i++) await one.record();
  }
  // Each has caught up and joins with the next record that it takes.
  await asked(tails);
  expect(await asked(tails)).toBe(alone);
});

test("one that fell behind is told the gap that retention made", async () => {
  const [slow, quick] = [await tail("?partition=0"), await tail("?partition=0")];
  await slow.next();
  await quick.next();
  for (let i = 0; i < 20; i++) {
    await write(0, "v");
    await quick.record();
  }
  await node.ask("DELETE /v1/topics/t/partitions/0/records?before=15");
  const offsets: unknown[] = [];
  let gap: unknown = null;
  while (offsets.at(-1) !== 19) {
    const event = await slow.next();
    if (event?.type === "gap") gap = JSON.parse(event.data);
    else offsets.push((JSON.parse(event?.data ?? "") as { offset: number }).offset);
  }
  const wanted = offsets.indexOf(15);
  expect(gap).toEqual({ partition: 0, wanted, logStartOffset: 15 });
  expect(offsets.slice(wanted)).toEqual([15, 16, 17, 18, 19]);
});

/** Small and the same on every machine: a linear congruence. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A tailer of a test, and what it has seen. */
interface Watcher {
  readonly query: string;
  readonly wants: (key: string) => boolean;
  events: EventReader;
  readonly seen: string[];
  lastId: string;
}

const kinds = [
  { query: "?as=auto", wants: () => true },
  { query: "?as=base64", wants: () => true },
  { query: "?key=a", wants: (key: string) => key === "a" },
  { query: "?partition=1", wants: () => true },
];

test("every tailer sees every record once, in order, whatever it reads and when", async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const random = randomOf(seed);
    const watchers: Watcher[] = [];
    const written: { readonly at: string; readonly key: string }[] = [];
    const ends = [0, 0];
    for (const { query, wants } of [...kinds, ...kinds]) {
      const events = await tail(query);
      watchers.push({ query, wants, events, seen: [], lastId: (await events.next())?.id ?? "" });
    }
    const base = await offsets();
    for (let i = 0; i < 120; i++) {
      const key = random(3) === 0 ? "b" : "a";
      const partition = random(2);
      await write(partition, "v".repeat(1 + random(200)), key);
      written.push({ at: `${partition}-${base[partition] + ends[partition]++}`, key });
      for (const watcher of watchers) {
        if (random(30) === 0) watcher.events = await tail(watcher.query, watcher.lastId);
        while (random(2) === 0 && missing(watcher, written) > 0) await see(watcher);
      }
    }
    for (const watcher of watchers) {
      while (missing(watcher, written) > 0) await see(watcher);
      for (const partition of ["0-", "1-"]) {
        const of = (list: readonly string[]) => list.filter((at) => at.startsWith(partition));
        expect([seed, watcher.query, of(watcher.seen)]).toEqual([
          seed,
          watcher.query,
          of(wantedOf(watcher, written).map(({ at }) => at)),
        ]);
      }
    }
    for (const events of open.splice(0)) await events.cancel();
  }
}, 30_000);

async function offsets(): Promise<number[]> {
  const bounds = node.broker.bounds("t");
  return "ok" in bounds ? [] : bounds.map(({ logEndOffset }) => logEndOffset);
}

function wantedOf<T extends { readonly at: string; readonly key: string }>(
  { query, wants }: Watcher,
  written: readonly T[],
): readonly T[] {
  const partition = query === "?partition=1" ? "1-" : "";
  return written.filter(({ at, key }) => wants(key) && at.startsWith(partition));
}

function missing(watcher: Watcher, written: readonly { at: string; key: string }[]): number {
  return wantedOf(watcher, written).length - watcher.seen.length;
}

async function see(watcher: Watcher): Promise<void> {
  const { id, json } = await watcher.events.record();
  watcher.lastId = id;
  watcher.seen.push(`${String(json["partition"])}-${String(json["offset"])}`);
}
