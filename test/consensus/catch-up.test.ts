// The node's budget for followers that are behind, and pages that nobody fetches.

import { describe, expect, test } from "bun:test";

import { CatchUp, CatchUpReads } from "../../src/consensus/catch-up.ts";
import { entryKinds, type LogEntry } from "../../src/journal/journal.ts";
import { logIndex, offset, term } from "../../src/quantities.ts";
import { ArrayJournal } from "./array-journal.ts";
import { VirtualWorld } from "./virtual-world.ts";

const mebibyte = 1024 * 1024;

/** Reads that end when they are told to. */
class Reads {
  readonly under: (() => void)[] = [];
  began = 0;

  readonly read = (): Promise<void> => {
    this.began += 1;
    return new Promise((resolve) => void this.under.push(resolve));
  };

  async end(): Promise<void> {
    this.under.shift()!();
    await Promise.resolve();
    await Promise.resolve();
  }
}

describe("CatchUp", () => {
  test("runs four reads at a time, the others in their order", async () => {
    const catchUp = new CatchUp();
    const reads = new Reads();
    for (let node = 1; node <= 10; node += 1) catchUp.run(node, reads.read);
    expect([reads.began, catchUp.reading, catchUp.waiting]).toEqual([4, 4, 6]);
    await reads.end();
    expect([reads.began, catchUp.reading, catchUp.waiting]).toEqual([5, 4, 5]);
  });

  test("reads nothing for a node toward which 4 MiB wait, and goes on when they have left", () => {
    const catchUp = new CatchUp();
    const [slow, quick] = [new Reads(), new Reads()];
    const left = catchUp.sending(2, 4 * mebibyte);
    catchUp.run(2, slow.read);
    catchUp.run(3, quick.read);
    expect([slow.began, quick.began]).toEqual([0, 1]);
    left();
    expect(slow.began).toBe(1);
  });
});

/** A journal of one replica with ten entries, read from the "disk". */
async function tenEntries() {
  const world = new VirtualWorld(5);
  const journal = new ArrayJournal(world);
  journal.coldReads = true;
  const replica = journal.createReplica({ groupId: "g", incarnation: 1 });
  const entries = Array.from({ length: 10 }, (_, i): LogEntry => ({
    index: logIndex(i + 1),
    term: term(1),
    kind: entryKinds.command,
    baseOffset: offset(0),
    offsetCount: 0,
    time: 1,
    maxTimestamp: -1,
    meta: new Uint8Array(1),
    batch: null,
  }));
  await world.until(journal.enqueue({ replica, entries }));
  const fetched: number[] = [];
  const reads = new CatchUpReads(
    { catchUp: new CatchUp(), journal, world },
    (to) => void fetched.push(to),
  );
  const wanted = (lo: number, to = 7) => ({ replica, lo, end: 11, maxBytes: mebibyte, to });
  return { world, journal, reads, fetched, wanted };
}

describe("CatchUpReads", () => {
  test("answers with the page once it was read, and only to the follower that it is for", async () => {
    const { world, journal, reads, fetched, wanted } = await tenEntries();
    expect(reads.entries(wanted(3))).toBe("unavailable");
    await world.run(10);
    expect(fetched).toEqual([7]);
    expect(reads.entries(wanted(3, 8))).toBe("unavailable");
    const page = reads.entries(wanted(3));
    if (page === "unavailable") throw new Error("The page was read");
    expect(page.entries.map(({ index }) => index as number)).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
    page.release();
    reads.end();
    await world.run(10);
    expect(journal.held).toBe(0);
  });

  test("gives back a page when the core wants another one, and tells of a read that failed, after a while", async () => {
    const { world, journal, reads, fetched, wanted } = await tenEntries();
    reads.entries(wanted(3));
    await world.run(10);
    expect(reads.entries(wanted(1))).toBe("unavailable");
    expect(journal.held).toBe(0);
    journal.damaged.add(1);
    await world.run(100);
    expect(fetched).toEqual([7]);
    await world.run(200);
    expect(fetched).toEqual([7, 7]);
    reads.end();
    expect(journal.held).toBe(0);
  });

  test("of a core that is gone reads nothing more, and keeps nothing", async () => {
    const { world, journal, reads, fetched, wanted } = await tenEntries();
    reads.entries(wanted(3));
    reads.end();
    await world.run(10);
    expect([fetched, journal.held]).toEqual([[], 0]);
  });
});
