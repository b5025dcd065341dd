// A file of the journal that is gone, or cannot be read at all: what it held is refused by name, whether it is asked for
// by index or by offset, and what the other files hold is served.

import { expect, test } from "bun:test";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { Fault } from "../../src/errors.ts";
import type { Journal, ReadFrom } from "../../src/journal/journal.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { createSimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { logIndex, offset } from "../../src/quantities.ts";
import { settle, VirtualWorld } from "../broker/virtual-world.ts";
import { entryOf, releaseAll } from "./entries.ts";

const world = new VirtualWorld(3);
const slabs = createSlabPool({ slabBytes: 16 * 1024 });
const count = 200;

async function baseOffsets(journal: Journal, from: ReadFrom): Promise<number[] | string> {
  const [{ replica }] = [...journal.replicas()];
  const request = { replica, from, endIndex: logIndex(count + 1), maxBytes: 1e6, dataOnly: true };
  try {
    const result = await journal.read(request);
    result.release();
    return result.entries.map((entry) => entry.baseOffset);
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown.code;
    throw thrown;
  }
}

test("entries of a lost sealed file are refused as damaged, never passed over", async () => {
  const disk = createSimulatedDisk({ random: () => world.random() });
  const settings = { cacheBytesMax: 0, freeBytesMin: 0, fileRowsMax: 60, fileBytesMax: 6_000 };
  const journal = await openJournal({ world, disk, slabs, ...settings });
  const replica = journal.createReplica({ groupId: "a/0", incarnation: 1 });
  for (let index = 1; index <= count; index++) {
    const entries = [entryOf(slabs, { index, term: 1, baseOffset: index - 1 })];
    await journal.enqueue({ replica, entries });
    releaseAll(entries);
  }
  await settle();
  await journal.close();
  const heads = (await disk.open()).sealed;
  expect(heads.length).toBeGreaterThan(2);

  for (const { name, spans } of heads) {
    const [{ firstOffset, nextOffset }] = spans;
    const lost = disk.platter.get(name)!;
    disk.platter.delete(name);
    const again = await openJournal({ world, disk, slabs, ...settings });
    expect([...again.replicas()][0].damage.length).toBe(1);
    for (const at of [firstOffset, nextOffset - 1]) {
      expect(await baseOffsets(again, { offset: offset(at) })).toBe("storage_damaged");
      expect(await baseOffsets(again, { index: logIndex(at + 1) })).toBe("storage_damaged");
    }
    const next = await baseOffsets(again, { offset: offset(nextOffset) });
    expect(next[0]).toBe(nextOffset);
    await again.close();
    disk.platter.set(name, lost);
  }
});
