// The files of one of three real nodes change while it is down: it notices, takes no part with a hole, and is repaired, by
// itself (one bit in a WAL) or from the others.

import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { startNodeProcess } from "../durability/node-process.ts";
import {
  type ClusterMember,
  type ClusterProcesses,
  json,
  threeNodes,
  until,
} from "./cluster-processes.ts";

const count = 40;
const wanted = Array.from({ length: count }, (_, i) => `record-${i}-${"x".repeat(200)}`);

async function write({ url }: ClusterMember, value: string): Promise<void> {
  const response = await fetch(`${url}/v1/topics/orders/records`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": value.slice(0, 40) },
    body: JSON.stringify({ records: [{ value }] }),
  });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
}

/** What the node itself has, not its leader. */
async function localValues({ url }: ClusterMember): Promise<readonly string[]> {
  const path = "/v1/topics/orders/records?maxRecords=10000";
  const { records } = await json(url + path, { headers: { "rivulet-consistency": "local" } });
  return records.map(({ value }) => value);
}

/** Waits until the node has exactly these; a node that made up or lost one never has. */
function untilLocal(member: ClusterMember, values: readonly string[]): Promise<void> {
  const text = JSON.stringify(values);
  const same = async (): Promise<boolean> => JSON.stringify(await localValues(member)) === text;
  return until(`${values.length} records on ${member.url}`, same, 60_000);
}

/** Changes the marker's bytes in every copy that the folder's journal has of them: rewritten pages stand in a WAL more
 *  than once, and freed space keeps what it held. How many copies there were. */
function damage(data: string, marker: string, change: (bytes: Buffer, at: number) => void): number {
  const folder = join(data, "journal");
  let copies = 0;
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    for (let at = bytes.indexOf(marker); at >= 0; at = bytes.indexOf(marker, at + 1)) {
      change(bytes, at);
      copies += 1;
    }
    writeFileSync(join(folder, name), bytes);
  }
  return copies;
}

const oneBit = (bytes: Buffer, at: number): void => void (bytes[at] ^= 1);
const hole = (bytes: Buffer, at: number): void => void bytes.fill(0, at, at + 8);

/** The node again, which may be busy with its damage before it is ready. */
async function restart(member: ClusterMember): Promise<void> {
  const args = ["--http", member.url.slice("http://".length), "--peer", member.peer];
  member.process = await startNodeProcess({ data: member.data, args, until: "/livez" });
}

interface Member {
  readonly incarnation: number;
  readonly voter: boolean;
  readonly inSync?: boolean;
}

/** Of the topic's partition, by node. */
async function members({ url }: ClusterMember): Promise<readonly Member[]> {
  const { items } = await json(`${url}/v1/cluster/partitions?topic=orders`);
  return items[0].members as unknown as readonly Member[];
}

async function controllerMembers({ url }: ClusterMember): Promise<readonly Member[]> {
  const { controller } = await json(`${url}/v1/cluster`);
  return controller.members as readonly Member[];
}

const newest = (all: readonly Member[]): number =>
  Math.max(...all.map(({ incarnation }) => incarnation));

/** Three voters again, one of them younger than any before. */
const replaced = (before: readonly Member[], all: readonly Member[]): boolean =>
  all.length === 3 &&
  all.every(({ voter, inSync }) => voter && inSync !== false) &&
  newest(all) > newest(before);

/** Three nodes with all of the records each. */
async function written(): Promise<ClusterProcesses> {
  const cluster = await threeNodes();
  for (const [i, value] of wanted.entries()) await write(cluster.members[i % 3], value);
  for (const member of cluster.members) await untilLocal(member, wanted);
  return cluster;
}

/** The second is killed and damaged, and comes back. */
async function damageSecond(
  { members: [, second] }: ClusterProcesses,
  marker: string,
  change: (bytes: Buffer, at: number) => void,
): Promise<void> {
  await second.process.killHard();
  expect(damage(second.data, marker, change)).toBeGreaterThan(0);
  await restart(second);
}

/** The second is a full member: with it and one other, the third is not needed; also after another start. */
async function expectWhole(cluster: ClusterProcesses): Promise<void> {
  const [first, second, third] = cluster.members;
  await untilLocal(second, wanted);
  await third.process.killHard();
  await write(second, "one-more");
  const all = [...wanted, "one-more"];
  for (const member of [first, second]) await untilLocal(member, all);
  await second.process.stop();
  await restart(second);
  await untilLocal(second, all);
}

describe("a node whose files changed while it was down", () => {
  test("by one bit in a record comes back whole", async () => {
    await using cluster = await written();
    await damageSecond(cluster, "record-20-", oneBit);
    await expectWhole(cluster);
  }, 180_000);

  test("by one bit in the cluster's metadata comes back whole", async () => {
    await using cluster = await written();
    await damageSecond(cluster, "orders", oneBit);
    await expectWhole(cluster);
  }, 180_000);

  test("by a hole in a record has its replica replaced from the others", async () => {
    await using cluster = await written();
    const [first] = cluster.members;
    const before = await members(first);
    await damageSecond(cluster, "record-20-", hole);
    const done = async (): Promise<boolean> => replaced(before, await members(first));
    await until("the replica to be replaced", done, 60_000);
    await expectWhole(cluster);
  }, 180_000);

  test("by a hole in the metadata gets the metadata from the others", async () => {
    await using cluster = await written();
    const [first] = cluster.members;
    const before = await controllerMembers(first);
    await damageSecond(cluster, "orders", hole);
    const done = async (): Promise<boolean> => replaced(before, await controllerMembers(first));
    await until("the controller's replica to be replaced", done, 60_000);
    await expectWhole(cluster);
  }, 180_000);
});
