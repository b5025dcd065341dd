import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { nextStep, type MembersView } from "../../src/cluster/members-step.ts";
import { includes, isSame } from "../../src/cluster/topic-state.ts";
import type { ReplicaIdentity } from "../../src/consensus/identity.ts";
import type { MemberProgress } from "../../src/consensus/replica.ts";
import { logIndex } from "../../src/quantities.ts";

/** "3" or "3'": node 3, in its first incarnation or in its ninth. */
function one(name: string): ReplicaIdentity {
  return { nodeId: Number.parseInt(name, 10), incarnation: name.endsWith("'") ? 9 : 1 };
}
const all = (names: string): ReplicaIdentity[] => (names === "" ? [] : names.split(" ").map(one));

function viewOf(of: {
  readonly voters: string;
  readonly learners?: string;
  readonly target: string;
  readonly targetLearners?: string;
  readonly self?: string;
  readonly behind?: string;
  readonly empty?: string;
  readonly silent?: string;
  readonly oneANode?: boolean;
}): MembersView {
  const voters = all(of.voters);
  const learners = all(of.learners ?? "");
  const progress = [...voters, ...learners].map((identity): MemberProgress => ({
    identity,
    voter: includes(voters, identity),
    matchIndex: logIndex(includes(all(of.empty ?? ""), identity) ? 0 : 1),
    behindMs: includes(all(of.behind ?? ""), identity) ? 60_000 : 0,
    active: !includes(all(of.silent ?? ""), identity),
    damaged: false,
  }));
  return {
    self: one(of.self ?? of.voters),
    members: { voters, learners, joint: false },
    progress,
    target: { voters: all(of.target), learners: all(of.targetLearners ?? "") },
    floor: 1,
    oneANode: of.oneANode ?? true,
  };
}

const change = (voters: string, learners = "") => ({
  kind: "change",
  target: { voters: all(voters), learners: all(learners) },
});

const table: readonly [string, Parameters<typeof viewOf>[0], object][] = [
  ["nothing to do", { voters: "1 2 3", target: "3 1 2" }, { kind: "done" }],
  ["what is missing learns first", { voters: "1", target: "1 2 3" }, change("1", "2 3")],
  [
    "a learner that is behind is waited for",
    { voters: "1", learners: "2 3", target: "1 2 3", behind: "3" },
    { kind: "wait", behind: all("3"), active: true },
  ],
  [
    "a learner that has nothing does not vote, however young its leader is",
    { voters: "1", learners: "2 3", target: "1 2 3", empty: "3" },
    { kind: "wait", behind: all("3"), active: true },
  ],
  [
    "a learner that is silent is not caught up, whatever it had",
    { voters: "1", learners: "2 3", target: "1 2 3", silent: "3" },
    { kind: "wait", behind: all("3"), active: false },
  ],
  ["all are promoted at once", { voters: "1", learners: "2 3", target: "1 2 3" }, change("1 2 3")],
  [
    "a dead voter is replaced in one change",
    { voters: "1 2 3", learners: "4", target: "1 2 4", silent: "3" },
    change("1 2 4"),
  ],
  ["a voter that nobody replaces just leaves", { voters: "1 2 3", target: "1 2" }, change("1 2")],
  [
    "a leader that leaves hands over to one that stays",
    { voters: "1 2 3", learners: "4", target: "2 3 4", silent: "2" },
    { kind: "handOver", toNode: 3 },
  ],
  [
    "a leader whose successors are all new gives them votes first",
    { voters: "1", learners: "2", target: "2" },
    change("1 2"),
  ],
  [
    "then it hands over",
    { voters: "1 2", target: "2", self: "1" },
    { kind: "handOver", toNode: 2 },
  ],
  ["and its successor lets it go", { voters: "1 2", target: "2", self: "2" }, change("2")],
  [
    "in the controller's group it makes the change itself: two voters are none that anybody wants",
    { voters: "1", learners: "2", target: "2", oneANode: false },
    change("2"),
  ],
  [
    "a damaged replica leaves before its successor comes to the same node",
    { voters: "1 2 3", target: "1 2 3'" },
    change("1 2"),
  ],
  ["then its successor learns", { voters: "1 2", target: "1 2 3'" }, change("1 2", "3'")],
  [
    "with a voter that is lost, so that the rest has a majority",
    { voters: "1 2 3", target: "1 2'", silent: "3" },
    change("1"),
  ],
  [
    "it stays while a voter that is wanted is silent and the rest would have no majority",
    { voters: "1 2 3", target: "1 2' 3", silent: "3" },
    { kind: "wait", behind: all("1 2' 3"), active: false },
  ],
  [
    "in the controller's group it leaves when its successor votes",
    { voters: "1 2 3", target: "1 2 3'", oneANode: false },
    change("1 2 3", "3'"),
  ],
  [
    "the only replica never makes room",
    { voters: "1", target: "1' 2", self: "1" },
    { kind: "wait", behind: all("1' 2"), active: false },
  ],
  [
    "voters that shall learn do so in the change that takes their votes",
    { voters: "1 2 3", target: "1", targetLearners: "2 3" },
    change("1", "2 3"),
  ],
  [
    "learners that nobody wants go with the next change",
    { voters: "1", learners: "4", target: "1", targetLearners: "2" },
    change("1", "2"),
  ],
  [
    "a learner that is down keeps nobody from voting",
    { voters: "1", learners: "2 3 4", target: "1 2 3", targetLearners: "4", silent: "4" },
    change("1 2 3", "4"),
  ],
];
describe("nextStep()", () => {
  for (const [what, view, step] of table)
    test(what, () => expect(nextStep(viewOf(view))).toEqual(step as never));

  test("nothing is begun while a change is under way", () => {
    const view = viewOf({ voters: "1", target: "1 2" });
    const members = { ...view.members, joint: true };
    expect(nextStep({ ...view, members })).toEqual({ kind: "wait", behind: [], active: true });
  });
});

type Replicas = readonly ReplicaIdentity[];

const replica: fc.Arbitrary<ReplicaIdentity> = fc.record({
  nodeId: fc.integer({ min: 1, max: 6 }),
  incarnation: fc.constantFrom(1, 9),
});
const replicas = (min: number, max: number): fc.Arbitrary<Replicas> =>
  fc.uniqueArray(replica, { minLength: min, maxLength: max, selector: ({ nodeId }) => nodeId });
const others = (of: Replicas, than: Replicas): Replicas =>
  of.filter((a) => than.every((b) => a.nodeId !== b.nodeId));
const sorted = (of: Replicas): Replicas => of.toSorted((a, b) => a.nodeId - b.nodeId);

/** A group whose members all live and are caught up. */
class Group {
  voters: Replicas;
  learners: Replicas;
  leader: ReplicaIdentity;
  constructor(voters: Replicas, learners: Replicas, leader: number) {
    this.voters = voters;
    this.learners = learners;
    this.leader = voters[leader % voters.length];
  }
  view(target: MembersView["target"], oneANode: boolean): MembersView {
    const { voters, learners, leader: self } = this;
    const progress = [...voters, ...learners].map((identity) => ({
      identity,
      voter: includes(voters, identity),
      matchIndex: logIndex(1),
      behindMs: 0,
      active: true,
      damaged: false,
    }));
    const members = { voters, learners, joint: false };
    return { self, members, progress, target, oneANode, floor: 1 };
  }
  /** A voter must have been a member, and the voters are the former ones, the wanted ones, or fewer of the former, the leader aside. */
  change(next: MembersView["target"], target: MembersView["target"]): void {
    expect(next.voters.length).toBeGreaterThan(0);
    const members = [...this.voters, ...this.learners];
    for (const voter of next.voters) expect(includes(members, voter)).toBe(true);
    const within = (of: Replicas): boolean => next.voters.every((voter) => includes(of, voter));
    expect(within(this.voters) || within([this.leader, ...target.voters])).toBe(true);
    ({ voters: this.voters, learners: this.learners } = next);
    if (!includes(this.voters, this.leader)) [this.leader] = this.voters;
  }
  expectOneANode(): void {
    const nodes = [...this.voters, ...this.learners].map(({ nodeId }) => nodeId);
    expect(new Set(nodes).size).toBe(nodes.length);
  }
}

test("from any members every step leads on, to exactly what is wanted", () => {
  const property = fc.property(
    fc.record({ voters: replicas(1, 5), extra: replicas(0, 2), leader: fc.nat(5) }),
    fc.record({ wanted: replicas(1, 5), extra: replicas(0, 3) }),
    fc.boolean(),
    (from, { wanted, extra }, oneANode) => {
      const target = { voters: wanted, learners: others(extra, wanted) };
      const all = [...target.voters, ...target.learners];
      const group = new Group(from.voters, others(from.extra, from.voters), from.leader);
      for (let steps = 0; ; steps += 1) {
        expect(steps).toBeLessThan(8);
        const step = nextStep(group.view(target, oneANode));
        if (step.kind === "done") break;
        if (step.kind === "wait") {
          // Nobody would be left: each voter makes room for another replica on its node.
          const makesRoom = (a: ReplicaIdentity): boolean =>
            all.some((b) => a.nodeId === b.nodeId && !isSame(a, b));
          expect(group.voters.every(makesRoom)).toBe(true);
          return;
        }
        if (step.kind === "handOver")
          group.leader = group.voters.find(({ nodeId }) => nodeId === step.toNode)!;
        else group.change(step.target, target);
        if (oneANode) group.expectOneANode();
      }
      expect(sorted(group.voters)).toEqual(sorted(target.voters));
      expect(sorted(group.learners)).toEqual(sorted(target.learners));
    },
  );
  fc.assert(property, { numRuns: 500 });
});
