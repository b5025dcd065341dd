// The identity of a data folder, and the folders that must not be touched.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../../src/errors.ts";
import {
  becomeMember,
  confirmCluster,
  encodeIdentity,
  formatVersion,
  isMember,
  newcomer,
  openIdentity,
} from "../../src/node/data-folder.ts";

let dir = "";
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), "rivulet-folder-"))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const write = (text: string): void => writeFileSync(join(dir, "identity.json"), text);
const fault = (work: () => unknown): Fault => {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown;
    throw thrown;
  }
  throw new Error("Nothing was thrown");
};

test("openIdentity() gives a new folder an identity, and finds it again", () => {
  const first = openIdentity(dir);
  expect(first).toEqual(newcomer);
  confirmCluster(dir, first, "cluster-1");
  expect(openIdentity(dir)).toEqual({ ...newcomer, clusterId: "cluster-1" });
});

test("a node that is alone has a folder that an older Rivulet can read", () => {
  openIdentity(dir);
  const { formatVersion: version, ...others } = JSON.parse(
    readFileSync(join(dir, "identity.json"), "utf8"),
  ) as Record<string, unknown>;
  expect(version).toBe(1);
  expect(Object.keys(others)).toEqual(["nodeId", "clusterId", "crc"]);
});

test("becomeMember() is remembered, in the newest format", () => {
  const identity = becomeMember(dir, {
    nodeId: 3,
    clusterId: "cluster-1",
    controllerIncarnation: 7,
  });
  expect(openIdentity(dir)).toEqual(identity);
  expect([isMember(identity), identity.formatVersion]).toEqual([true, formatVersion]);
  expect(isMember(newcomer)).toBe(false);
});

test("openIdentity() refuses a newer format, whatever else it holds, and leaves it alone", () => {
  const text = `{"formatVersion":${formatVersion + 1},"node":{"id":7}}`;
  write(text);
  const { code, message } = fault(() => openIdentity(dir));
  expect(code).toBe("storage_failed");
  expect(message).toContain(`it has format version ${formatVersion + 1}`);
  expect(readFileSync(join(dir, "identity.json"), "utf8")).toBe(text);
});

for (const text of [
  "",
  "{",
  "null",
  "[]",
  '{"formatVersion":0}',
  '{"formatVersion":1,"nodeId":"x"}',
  encodeIdentity({ formatVersion: 2, nodeId: 1, clusterId: null, controllerIncarnation: 1 }),
  encodeIdentity({ formatVersion: 2, nodeId: 1, clusterId: "c", controllerIncarnation: 0 }),
])
  test(`openIdentity() refuses ${JSON.stringify(text)} as damaged`, () => {
    write(text);
    expect(fault(() => openIdentity(dir)).code).toBe("storage_damaged");
  });

test("openIdentity() refuses an identity with any one bit flipped", () => {
  becomeMember(dir, { nodeId: 3, clusterId: "cluster-1", controllerIncarnation: 7 });
  const whole = readFileSync(join(dir, "identity.json"));
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const flipped = Buffer.from(whole);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    writeFileSync(join(dir, "identity.json"), flipped);
    const { code } = fault(() => openIdentity(dir));
    expect(["storage_damaged", "storage_failed"]).toContain(code);
  }
});

test("confirmCluster() refuses a journal of another cluster", () => {
  const identity = { ...newcomer, clusterId: "cluster-1" };
  const { message } = fault(() => confirmCluster(dir, identity, "cluster-2"));
  expect(message).toContain("belongs to cluster cluster-1, its journal to cluster-2");
});
