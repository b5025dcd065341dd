// What a stopping node leads goes to those who have the most of it, within bounds.

import { expect, test } from "bun:test";
import type { Replica } from "../../src/consensus/replica.ts";
import { refuse } from "../../src/errors.ts";
import { handOver } from "../../src/node/handover.ts";
import { VirtualWorld } from "../broker/virtual-world.ts";

interface Known {
  readonly nodeId: number;
  readonly match: number;
  readonly voter?: boolean;
  readonly active?: boolean;
}

const identityOf = (nodeId: number) => ({ nodeId, incarnation: 1 });

/** A group that node 1 leads, as its leader knows the others. */
function group(others: readonly Known[], transfer: (to: number) => Promise<boolean>): Replica {
  const all = [{ nodeId: 1, match: 100 }, ...others];
  const made = {
    identity: identityOf(1),
    members: {
      voters: all
        .filter((one: Known) => one.voter !== false)
        .map(({ nodeId }) => identityOf(nodeId)),
    },
    progress: () =>
      all.map(({ nodeId, match, voter = true, active = true }: Known) => ({
        identity: identityOf(nodeId),
        voter,
        active,
        matchIndex: match,
      })),
    transferLeadership: async (to: number) =>
      (await transfer(to)) ? { ok: true } : refuse("request_timed_out", "Too late"),
  };
  return made as unknown as Replica;
}

const never = async (): Promise<boolean> => {
  throw new Error("Not to be transferred");
};

const host = (...groups: readonly Replica[]) => ({ led: () => groups });

test("the voter that is there and has the most of the log becomes the leader", async () => {
  const asked: number[] = [];
  const others = [
    { nodeId: 2, match: 50 },
    { nodeId: 3, match: 90 },
    { nodeId: 4, match: 100, voter: false },
    { nodeId: 5, match: 100, active: false },
  ];
  const one = group(others, async (to) => asked.push(to) > 0);
  expect(await handOver(host(one), new VirtualWorld(), 1_000)).toEqual({ handed: 1, kept: 0 });
  expect(asked).toEqual([3]);
});

test("equals take turns", async () => {
  const asked: number[] = [];
  const others = [2, 3].map((nodeId) => ({ nodeId, match: 100 }));
  const groups = Array.from({ length: 100 }, () => group(others, async (to) => asked.push(to) > 0));
  await handOver(host(...groups), new VirtualWorld(), 1_000);
  expect([2, 3].map((to) => asked.filter((one) => one === to).length)).toEqual([50, 50]);
});

test("a group that nobody else votes in, or nobody is there to take, stays", async () => {
  const alone = group([], never);
  const lonely = group([{ nodeId: 2, match: 1, active: false }], never);
  const refused = group([{ nodeId: 2, match: 1 }], async () => false);
  expect(await handOver(host(alone), new VirtualWorld(), 1_000)).toEqual({ handed: 0, kept: 0 });
  const outcome = await handOver(host(lonely, refused), new VirtualWorld(), 1_000);
  expect(outcome).toEqual({ handed: 0, kept: 2 });
});

test("what hangs is given up in time", async () => {
  const world = new VirtualWorld();
  const hung = group([{ nodeId: 2, match: 1 }], () => new Promise(() => undefined));
  const outcome = handOver(host(hung), world, 1_000);
  world.advance(1_000);
  expect(await outcome).toEqual({ handed: 0, kept: 1 });
});
