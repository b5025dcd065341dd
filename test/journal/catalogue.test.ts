// The catalogue is a copy: believed while it holds, replaced by what the files say when it does not.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SealedHead } from "../../src/journal/disk.ts";
import { readCatalogue } from "../../src/journal/workers/catalogue.ts";
import { takeInventory } from "../../src/journal/workers/inventory.ts";
import { diskIn, liveIn, RowWriter, sealedOf, tempRoot } from "./disk-rows.ts";

// Real files and processes on a machine that others use too.
setDefaultTimeout(20_000);

const temp = tempRoot("catalogue");
afterAll(() => temp.sweep());
const source = temp.dir("source");
let head: SealedHead;

beforeAll(async () => {
  const writer = new RowWriter(diskIn(source));
  await writer.disk.open();
  const first = await writer.roll();
  await writer.commit([writer.replica(1), writer.entry(1), writer.entry(1)]);
  const output = sealedOf(1, writer.lsn - 1);
  await writer.roll();
  head = await writer.disk.seal({ output, inputs: [liveIn(first, [[1, 1, 2]])] }, () => false);
  await writer.disk.remove([first]);
  await writer.disk.close();
});

function copy(label: string): string {
  const dir = temp.dir(label);
  cpSync(source, dir, { recursive: true });
  return dir;
}

test("a sealed file is in the catalogue, and gone from it when it is removed", async () => {
  expect([...readCatalogue(source).values()]).toEqual([head]);
  const dir = copy("removed");
  const disk = diskIn(dir);
  await disk.open();
  await disk.remove([head.name]);
  await disk.close();
  expect(readCatalogue(dir).size).toBe(0);
  expect(readdirSync(dir).filter((file) => file.startsWith("sealed"))).toEqual([]);
});

test("a catalogue that is missing, damaged or of another version is made anew from the files", () => {
  const spoil: Record<string, (path: string) => void> = {
    missing: (path) => rmSync(path),
    garbage: (path) => writeFileSync(path, "x".repeat(4096)),
    flipped: (path) => {
      const bytes = readFileSync(path);
      bytes[bytes.indexOf(head.spans[0].groupId)] ^= 1;
      writeFileSync(path, bytes);
    },
    newer: (path) => {
      const bytes = readFileSync(path);
      bytes.writeUInt32BE(99, 60);
      writeFileSync(path, bytes);
    },
  };
  for (const [label, damage] of Object.entries(spoil)) {
    const dir = copy(label);
    damage(join(dir, "catalogue.db"));
    expect([label, takeInventory(dir).sealed]).toEqual([label, [head]]);
    expect(existsSync(join(dir, "catalogue.db"))).toBe(true);
    expect([label, [...readCatalogue(dir).values()]]).toEqual([label, [head]]);
  }
});
