import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import { decodeBeat, encodeBeat, type Beat } from "../../../src/consensus/liveness/beat.ts";
import { nodeOf, raftIdOf } from "../../../src/consensus/identity.ts";
import {
  Leaderships,
  partOf,
  type Leadership,
} from "../../../src/consensus/liveness/leaderships.ts";
import {
  decodePage,
  decodeQuestion,
  encodePages,
  encodeQuestion,
} from "../../../src/consensus/liveness/led-pages.ts";
import { joinBytes } from "../../../src/transport/packet.ts";

const id = (nodeId: number, incarnation = 1): number => raftIdOf({ nodeId, incarnation });

/** The knowledge of one node as plain sets, summed from nothing each time. */
class Model {
  readonly led = new Map<string, { leader: number; term: number; members: number[] }>();
  readonly believed = new Map<string, Leadership>();

  rowsToward(node: number): string[] {
    const rows: string[] = [];
    for (const [groupId, { leader, term, members }] of this.led) {
      for (const member of members) {
        if (nodeOf(member) === node) rows.push(rowText({ groupId, leader, member, term }));
      }
    }
    return rows.sort();
  }

  rowsOf(node: number): string[] {
    const rows = [...this.believed.values()].filter(({ leader }) => nodeOf(leader) === node);
    return rows.map(rowText).sort();
  }
}

function rowText({ groupId, leader, member, term }: Leadership): string {
  return `${groupId} ${leader} ${member} ${term}`;
}

const groupId = fc.constantFrom("controller", "a/0", "a/1", "a/2", "b/0", "b/1");
const term = fc.integer({ min: 1, max: 3 });
const change = fc.oneof(
  fc.record({
    kind: fc.constant("lead" as const),
    groupId,
    term,
    members: fc.subarray([id(1), id(2), id(2, 2), id(3), id(4)]),
  }),
  fc.record({
    kind: fc.constant("follow" as const),
    groupId,
    term,
    leader: fc.constantFrom(id(2), id(3), id(3, 5)),
    member: fc.constantFrom(id(1), id(1, 2)),
  }),
  fc.record({ kind: fc.constantFrom("cease" as const, "unfollow" as const), groupId }),
);
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

function run(changes: readonly Change[]): { real: Leaderships; model: Model } {
  const [real, model] = [new Leaderships(), new Model()];
  for (const step of changes) {
    if (step.kind === "lead") {
      const led = { leader: id(1), term: step.term, members: step.members };
      real.lead(step.groupId, led);
      model.led.set(step.groupId, led);
      model.believed.delete(step.groupId);
    } else if (step.kind === "follow") {
      real.follow(step);
      model.believed.set(step.groupId, step);
      model.led.delete(step.groupId);
    } else {
      real[step.kind](step.groupId);
      (step.kind === "cease" ? model.led : model.believed).delete(step.groupId);
    }
  }
  return { real, model };
}

describe("sums of leaderships", () => {
  test("are equal exactly where the sets are equal, whatever order led there", () => {
    fc.assert(
      fc.property(fc.array(change), fc.array(change), (one, other) => {
        const [x, y] = [run(one), run(other)];
        for (const node of [2, 3, 4]) {
          const sameLed = sameRows(x.model.rowsToward(node), y.model.rowsToward(node));
          expect(same(x.real.ledToward(node), y.real.ledToward(node))).toBe(sameLed);
          const sameBelieved = sameRows(x.model.rowsOf(node), y.model.rowsOf(node));
          expect(same(x.real.believedOf(node), y.real.believedOf(node))).toBe(sameBelieved);
          expect(x.real.ledToward(node).count).toBe(x.model.rowsToward(node).length);
          expect(x.real.followedOf(node).length).toBe(x.model.rowsOf(node).length);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("of a leader and of its follower are equal when both know the same", () => {
    const [leader, follower] = [new Leaderships(), new Leaderships()];
    for (let i = 0; i < 1_000; i += 1) {
      const row = { groupId: `topic/${i}`, leader: id(1), member: id(2, 3), term: i + 1 };
      leader.lead(row.groupId, { ...row, members: [id(1), id(2, 3), id(3)] });
      follower.follow(row);
    }
    expect(follower.believedOf(1)).toEqual(leader.ledToward(2));
    leader.lead("topic/7", { leader: id(1), term: 9_999, members: [id(1), id(2, 3), id(3)] });
    expect(follower.believedOf(1)).not.toEqual(leader.ledToward(2));
  });
});

function same(x: object, y: object): boolean {
  return JSON.stringify(x) === JSON.stringify(y);
}

function sameRows(x: readonly string[], y: readonly string[]): boolean {
  return x.join() === y.join();
}

/** Node 2 asks node 1, over the wire, and does what it is told. */
function reconcile(leader: Leaderships, follower: Leaderships): { news: number; gone: number } {
  const counts = { news: 0, gone: 0 };
  const asked = encodeQuestion(follower.question(1));
  const question = decodeQuestion(asked.head, joinBytes(asked.body));
  if (!question.ok) throw new Error(question.detail);
  for (const packet of encodePages(question.asOf, leader.answer(2, question.sums))) {
    const body = joinBytes(packet.body);
    const page = decodePage({ from: 1, head: packet.head, body }, 2);
    if (!page.ok) throw new Error(page.detail);
    const { news, gone } = follower.learn(1, page);
    for (const row of news) follower.follow(row);
    for (const lost of gone) follower.unfollow(lost);
    counts.news += news.length;
    counts.gone += gone.length;
  }
  return counts;
}

describe("a question and its pages", () => {
  test("make the follower know what the leader knows, from any two states", () => {
    const led = fc.array(fc.record({ n: fc.nat(400), term, incarnation: term }), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(led, led, (one, other) => {
        const [leader, follower] = [new Leaderships(), new Leaderships()];
        for (const { n, term: at, incarnation } of one) {
          const member = id(2, incarnation);
          leader.lead(`t/${n}`, { leader: id(1), term: at, members: [id(1), member, id(3)] });
        }
        for (const { n, term: at, incarnation } of other) {
          const member = id(2, incarnation);
          follower.follow({ groupId: `t/${n}`, leader: id(1), member, term: at });
        }
        reconcile(leader, follower);
        expect(follower.believedOf(1)).toEqual(leader.ledToward(2));
        expect(reconcile(leader, follower)).toEqual({ news: 0, gone: 0 });
      }),
    );
  });

  test("carry one part of 256 when one group of 10,000 differs", () => {
    const [leader, follower] = [new Leaderships(), new Leaderships()];
    for (let i = 0; i < 10_000; i += 1) {
      const row = { groupId: `topic/${i}`, leader: id(1), member: id(2), term: 1 };
      leader.lead(row.groupId, { ...row, members: [id(1), id(2)] });
      if (i !== 5_000) follower.follow(row);
    }
    const differing = leader.answer(2, follower.question(1).sums);
    expect(differing.size).toBe(1);
    const pages = encodePages(0, differing);
    expect(pages.length).toBe(1);
    expect(joinBytes(pages[0].body).length).toBeLessThan(2_000);
    expect(reconcile(leader, follower)).toEqual({ news: 1, gone: 0 });
  });

  test("go out in several pages when much differs", () => {
    const [leader, follower] = [new Leaderships(), new Leaderships()];
    for (let i = 0; i < 10_000; i += 1) {
      const groupIdOf = `0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b/${i}`;
      leader.lead(groupIdOf, { leader: id(1), term: 1, members: [id(1), id(2)] });
    }
    const pages = encodePages(0, leader.answer(2, follower.question(1).sums));
    expect(pages.length).toBeGreaterThan(4);
    for (const { body } of pages) expect(joinBytes(body).length).toBeLessThan(70_000);
    expect(reconcile(leader, follower)).toEqual({ news: 10_000, gone: 0 });
  });

  test("do not undo what the follower learned after it asked", () => {
    const [leader, follower] = [new Leaderships(), new Leaderships()];
    follower.follow({ groupId: "a/0", leader: id(1), member: id(2), term: 1 });
    const question = follower.question(1);
    const differing = leader.answer(2, question.sums);
    const row = { groupId: "a/0", leader: id(1), member: id(2), term: 2 };
    follower.follow(row);
    const parts = new Set(differing.keys());
    expect(parts.has(partOf("a/0"))).toBe(true);
    const learned = follower.learn(1, { rows: [], parts, asOf: question.asOf });
    expect(learned).toEqual({ news: [], gone: [] });
  });
});

describe("packets that nobody wrote", () => {
  const row = { groupId: "a/0", leader: id(1), member: id(2), term: 4 };
  const pages = encodePages(3, new Map([[partOf("a/0"), [row]]]));
  const page = { from: 1, head: pages[0].head, body: joinBytes(pages[0].body) };

  test("a page with rows of other nodes, or of parts that it does not hold, is refused", () => {
    expect(decodePage(page, 2).ok).toBe(true);
    expect(decodePage({ ...page, from: 3 }, 2).ok).toBe(false);
    expect(decodePage(page, 3).ok).toBe(false);
    const stray = encodePages(3, new Map([[(partOf("a/0") + 1) % 256, [row]]]));
    expect(decodePage({ ...page, body: joinBytes(stray[0].body) }, 2).ok).toBe(false);
  });

  test("are refused or read, never thrown", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 255 }), (at, value) => {
        const body = page.body.slice();
        body[at % body.length] = value;
        decodePage({ ...page, body }, 2);
        decodePage({ ...page, body: body.subarray(0, at % body.length) }, 2);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (head, body) => {
        decodePage({ from: 1, head, body }, 2);
        decodeQuestion(head, body);
        if (head.length > 0) head[0] = 2;
        decodeBeat(head);
      }),
    );
  });
});

describe("a beat", () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const number = fc.nat(2 ** 31 - 1);
  const beats: fc.Arbitrary<Beat> = fc.record({
    bootId: fc.integer({ min: 1, max: 2 ** 48 }),
    sequence: fc.integer({ min: 1, max: 2 ** 40 }),
    echoBootId: fc.integer({ min: 0, max: 2 ** 48 }),
    echoSequence: number,
    led: fc.record({ count: number, a: u32, b: u32 }),
    healthy: fc.boolean(),
    oldestFlushMs: number,
    appendStalledMs: number,
  });

  test("is read back as it was, in under 80 bytes", () => {
    fc.assert(
      fc.property(beats, (beat) => {
        const bytes = encodeBeat(beat);
        expect(bytes.length).toBeLessThan(80);
        expect(decodeBeat(bytes)).toEqual({ ok: true, ...beat });
        expect(decodeBeat(bytes.subarray(0, -1)).ok).toBe(false);
      }),
    );
  });
});
