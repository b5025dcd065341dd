// The log against a plain array of terms, and its pages against their limits.

import { describe, expect, test } from "bun:test";
import { RaftBug } from "../../raft/bug.ts";
import { entryOverheadBytes } from "../../raft/entry.ts";
import { MemoryStorage, noMembers, type Entry } from "../../raft/index.ts";
import { Log } from "../../raft/log.ts";
import { Random } from "../../raft/random.ts";

const unlimited = Number.MAX_SAFE_INTEGER;

function entry(index: number, term: number, bytes = 0): Entry<string> {
  return { index, term, type: "normal", data: null, change: null, bytes };
}

function logOn(storage: MemoryStorage<string>, maxApplyingBytes = unlimited): Log<string> {
  return new Log(storage, { maxApplyingBytes, applyUnstable: false });
}

/** What a follower's log must be after an append, by the paper's words (figure 2, AppendEntries 2 to 5). */
class Model {
  terms: number[] = [];
  committed = 0;

  term(index: number): number | undefined {
    return index === 0 ? 0 : this.terms[index - 1];
  }

  append(previous: { index: number; term: number }, terms: number[], leaderCommit: number) {
    if (this.term(previous.index) !== previous.term) return null;
    for (const [at, term] of terms.entries()) {
      const index = previous.index + 1 + at;
      if (this.term(index) !== undefined && this.term(index) !== term) {
        this.terms.length = index - 1;
      }
      if (this.term(index) === undefined) this.terms.push(term);
    }
    const last = previous.index + terms.length;
    this.committed = Math.max(this.committed, Math.min(leaderCommit, last));
    return last;
  }
}

describe("a follower's log", () => {
  test("equals the paper's rules, for random appends, writes under way and compactions", () => {
    for (let seed = 1; seed <= 300; seed++) play(seed);
  });

  test("skips what it has, and truncates at the first conflict only", () => {
    const log = logOn(new MemoryStorage<string>());
    log.append([entry(1, 1), entry(2, 1), entry(3, 1)]);
    log.maybeAppend({ index: 0, term: 0 }, [entry(1, 1)], 0);
    expect(log.lastIndex()).toBe(3);
    log.maybeAppend({ index: 1, term: 1 }, [entry(2, 2)], 0);
    expect([log.lastIndex(), log.lastTerm()]).toEqual([2, 2]);
  });

  test("commits no further than the entries that the append spoke of", () => {
    const log = logOn(new MemoryStorage<string>());
    log.append([entry(1, 1), entry(2, 1), entry(3, 1)]);
    log.maybeAppend({ index: 1, term: 1 }, [], 3);
    expect(log.committed).toBe(1);
  });

  test("refuses to replace a committed entry, printing both indexes", () => {
    const log = logOn(new MemoryStorage<string>());
    log.append([entry(1, 1), entry(2, 1)]);
    log.commitTo(2);
    expect(() => log.append([entry(2, 2)])).toThrow("Cannot replace entry 2: committed 2");
    expect(() => log.commitTo(3)).toThrow(RaftBug);
  });
});

function play(seed: number): void {
  const random = new Random(seed);
  const storage = new MemoryStorage<string>();
  const log = logOn(storage);
  const model = new Model();
  let term = 1;
  for (let i = 0; i < 60; i++) {
    if (random.below(4) === 0) term++;
    // A leader of this term whose log agrees up to some place at or above what is committed.
    const index = model.committed + random.below(model.terms.length - model.committed + 2);
    const agrees = model.term(index) !== undefined && random.below(5) > 0;
    const previous = { index, term: agrees ? model.term(index)! : term };
    const terms = Array.from({ length: random.below(4) }, () => term);
    const leaderCommit = random.below(model.terms.length + 2);
    const entries = terms.map((each, at) => entry(index + 1 + at, each));
    const wanted = model.append(previous, terms, leaderCommit);
    const found = log.maybeAppend(previous, entries, leaderCommit);
    expect({ seed, i, found }).toEqual({ seed, i, found: wanted });
    if (random.below(2) === 0) writeAll(log, storage);
    compare(log, model, { seed, i });
  }
}

/** Everything unstable becomes durable. */
function writeAll(log: Log<string>, storage: MemoryStorage<string>): void {
  const entries = log.unstable.nextEntries();
  log.unstable.acceptInProgress();
  storage.append(entries);
  log.unstable.stableTo(log.lastIndex(), log.lastTerm());
}

function compare(log: Log<string>, model: Model, where: object): void {
  const terms = Array.from({ length: log.lastIndex() }, (_, at) => log.term(at + 1));
  const wanted = { ...where, terms: model.terms, committed: model.committed };
  expect({ ...where, terms, committed: log.committed }).toEqual(wanted);
  const all = log.slice(1, log.lastIndex() + 1, unlimited, 0);
  expect(typeof all === "string" ? all : all.map((each) => each.term)).toEqual(model.terms);
}

describe("findConflictByTerm()", () => {
  const log = logOn(new MemoryStorage<string>());
  log.append([1, 1, 3, 3, 5].map((term, at) => entry(at + 1, term)));
  const rows: [number, number, number, number][] = [
    // index, term -> index, term of the last place that may agree
    [5, 5, 5, 5],
    [5, 4, 4, 3],
    [5, 2, 2, 1],
    [3, 9, 3, 3],
    [2, 0, 0, 0],
  ];
  for (const [index, term, at, found] of rows) {
    test(`index ${index}, term ${term}: ${at}/${found}`, () => {
      expect(log.findConflictByTerm(index, term)).toEqual({ index: at, term: found });
    });
  }
});

test("findConflictByTerm() equals walking back entry by entry, also over a compacted log", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    const start = random.below(4);
    let term = start === 0 ? 0 : 1 + random.below(2);
    const storage = new MemoryStorage<string>({
      index: start,
      term,
      confState: noMembers,
      data: null,
    });
    const log = logOn(storage);
    const count = random.below(12);
    for (let at = 1; at <= count; at++) {
      term += random.below(3) === 0 || term === 0 ? 1 + random.below(2) : 0;
      log.append([entry(start + at, term)]);
    }
    if (random.below(2) === 0) writeAll(log, storage);
    const index = random.below(start + count + 3);
    const wanted = random.below(term + 2);
    const found = log.findConflictByTerm(index, wanted);
    expect({ seed, found }).toEqual({ seed, found: walkBack(log, index, wanted) });
  }
});

function walkBack(log: Log<string>, index: number, term: number): { index: number; term: number } {
  for (let at = index; at > 0; at--) {
    const own = log.term(at);
    if (own === null || own <= term) return { index: at, term: own ?? 0 };
  }
  return { index: 0, term: 0 };
}

describe("pages", () => {
  const storage = new MemoryStorage<string>();
  storage.append([1, 2, 3].map((index) => entry(index, 1, 84)));

  test("hold as many entries as fit, stable ones first, and at least one", () => {
    const log = logOn(storage);
    log.append([4, 5].map((index) => entry(index, 1, 84)));
    const count = (maxBytes: number) => log.slice(2, 6, maxBytes, 0).length;
    expect(84 + entryOverheadBytes).toBe(100);
    expect([0, 100, 199, 200, 299, 300, 400].map(count)).toEqual([1, 1, 1, 2, 2, 3, 4]);
  });

  test("of committed entries stop at the budget until something is applied", () => {
    const log = logOn(storage, 150);
    log.commitTo(3);
    const first = log.nextCommitted();
    expect(first.map((each) => each.index)).toEqual([1]);
    log.acceptApplying(first);
    expect([log.hasNextCommitted(), log.nextCommitted().length]).toEqual([false, 0]);
    log.appliedTo(1, 100);
    expect(log.nextCommitted().map((each) => each.index)).toEqual([2]);
  });

  test("never hold committed entries that are not durable here", () => {
    const log = logOn(storage);
    log.append([entry(4, 1)]);
    log.commitTo(4);
    expect(log.nextCommitted().map((each) => each.index)).toEqual([1, 2, 3]);
  });

  test("below the first index are compacted; a snapshot moves the first index", () => {
    const log = logOn(
      new MemoryStorage<string>({ index: 9, term: 2, confState: noMembers, data: null }),
    );
    expect(log.slice(5, 6, 1, 0)).toBe("compacted");
    expect([log.term(8), log.term(9), log.term(10)]).toEqual([null, 2, null]);
    log.restore({ index: 20, term: 3, confState: noMembers, data: null });
    expect([log.firstIndex(), log.lastIndex(), log.term(20), log.term(19)]).toEqual([
      21,
      20,
      3,
      null,
    ]);
  });
});
