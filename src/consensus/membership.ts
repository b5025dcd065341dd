// A leader's view of its members, and those who wait for a change of them or for a transfer of the leadership.
//
// Promise: one change at a time; a waiter is settled by the configuration that it wanted, by the end of the term, or (a
// transfer) by its time. Left to others: changes themselves (raft/), which members there should be (cluster).

import type { RawNode } from "../../raft/index.ts";
import type { ConfChange, ConfState, ProposalRefusal } from "../../raft/types.ts";
import { refuse, type Refusal } from "../errors.ts";
import { logIndex } from "../quantities.ts";
import type { Timer, World } from "../world.ts";
import type { CoreRun } from "./core-run.ts";
import type { DurableLog } from "./durable-log.ts";
import { nodeOf, replicaOf } from "./identity.ts";
import { MemberLag } from "./liveness/member-lag.ts";
import { changeToward, impossible } from "./membership-change.ts";
import { changePayload, draftBytes } from "./payload.ts";
import type { NodeTable } from "./liveness/pulse.ts";
import type { ReplicaContext } from "./replica-context.ts";
import type { MemberProgress, MembersTarget } from "./replica.ts";

/** The core gives a transfer up after an election timeout. */
const transferMsMax = 2_500;

type Done = { readonly ok: true } | Refusal;

export class Membership {
  readonly #world: World;
  readonly #canLead: (nodeId: number) => boolean;
  readonly #groupId: string;
  readonly #lag = new MemberLag();
  /** Members that lost what they had acknowledged. */
  readonly #lostData = new Set<number>();
  /** The commit index that heartbeats told when this leader last came to rest. */
  #told = { term: 0, commit: 0 };
  #change: { readonly index: number; readonly resolve: (done: Done) => void } | null = null;
  #transfer: {
    readonly to: number;
    readonly timer: Timer;
    readonly resolve: (done: Done) => void;
  } | null = null;

  constructor({ world, vigil }: Pick<ReplicaContext, "world" | "vigil">, groupId: string) {
    this.#world = world;
    this.#canLead = (nodeId) => vigil === null || vigil.canLead(nodeId);
    this.#groupId = groupId;
  }

  /** This replica leads from now on. */
  begin(lastIndex: number): void {
    this.#lag.begin(this.#world.monotonic(), lastIndex);
  }

  /** This leader is about to append an entry. */
  appends(): void {
    this.#lag.appends(() => this.#world.monotonic());
  }

  /** The member said that it does not have what it had acknowledged. */
  lostData(id: number): void {
    this.#lostData.add(id);
  }

  tick(node: RawNode<unknown>, lastIndex: number): void {
    this.#lag.tick(this.#world.monotonic(), lastIndex, matchesOf(node));
  }

  /** A member whose answer crossed an append may have passed over the commit index in it. Before a group comes to rest
   *  its leader tells it once more, by heartbeats, or that member would show an older state until the next append. */
  commitUntold({ core }: RawNode<unknown>): boolean {
    const { term, commit } = this.#told;
    return core.role === "leader" && (term !== core.term || commit < core.log.committed);
  }

  /** Heartbeats went out while no living member lacked anything. */
  commitTold({ core }: RawNode<unknown>): void {
    this.#told = { term: core.term, commit: core.log.committed };
  }

  progress(
    node: RawNode<unknown>,
    lastIndex: number,
    nodes: NodeTable | null,
  ): readonly MemberProgress[] {
    const now = this.#world.monotonic();
    const { tracker, id: own } = node.core;
    const found: MemberProgress[] = [];
    for (const [id, { match, isLearner, recentActive }] of tracker.members) {
      found.push({
        identity: replicaOf(id),
        voter: !isLearner,
        matchIndex: logIndex(match),
        behindMs: id === own ? 0 : this.#lag.behindMs(id, match, { now, lastIndex }),
        // A group at rest hears nothing of its members: their nodes do.
        active: id === own || (nodes?.active(nodeOf(id)) ?? recentActive),
        damaged: this.#lostData.has(id),
      });
    }
    return found.toSorted((a, b) => a.identity.nodeId - b.identity.nodeId);
  }

  /** Proposes the change that makes the target, at a leader that is ready. */
  change(run: CoreRun, log: DurableLog, target: MembersTarget): Promise<Done> {
    const planned = this.#plan(log.configurations.state, target);
    if (planned === null) return Promise.resolve({ ok: true });
    if ("ok" in planned) return Promise.resolve(planned);
    log.trackOwn(run);
    const data = changePayload(planned, log.positions.nextOffset, log.clock());
    const bytes = draftBytes(data);
    const proposed = run.node.proposeConfChange(planned, { data, bytes });
    if (!proposed.ok) return Promise.resolve(this.#refused(proposed.reason));
    const entry = { ...proposed, type: "confChange", data, change: planned, bytes } as const;
    log.track(run, entry, data);
    return new Promise((resolve) => void (this.#change = { index: proposed.index, resolve }));
  }

  /** Hands over to the voter on the node, at a leader that is ready. */
  transfer({ node }: CoreRun, toNode: number): Promise<Done> {
    const to = node.core.tracker.configuration.voters.incoming.find((id) => nodeOf(id) === toNode);
    if (to === node.core.id) return Promise.resolve({ ok: true });
    if (to === undefined) {
      const detail = `Cannot hand ${this.#groupId} to node ${toNode}: it is no voter of the group`;
      return Promise.resolve(refuse("invalid_request", detail));
    }
    if (!this.#canLead(toNode)) {
      const detail = `Cannot hand ${this.#groupId} to node ${toNode}: it is not heard, or its disk or its lanes are stuck`;
      return Promise.resolve(refuse("node_unreachable", detail));
    }
    node.transferLeader(to);
    return this.#untilLedBy(toNode);
  }

  /** The change to propose; null when the target is reached; or why there is none. */
  #plan(state: ConfState, target: MembersTarget): ConfChange | Refusal | null {
    const fault = impossible(target);
    if (fault !== null) {
      return refuse("invalid_request", `Cannot change the members of ${this.#groupId}: ${fault}`);
    }
    if (this.#change !== null || state.votersOutgoing.length > 0)
      return this.#refused("changeRefused");
    return changeToward(state, target);
  }

  #refused(reason: ProposalRefusal): Refusal {
    const detail = `Cannot change the members of ${this.#groupId}`;
    if (reason === "changeRefused") {
      return refuse("policy_violation", `${detail}: another change is under way`);
    }
    return refuse(
      "not_leader_or_follower",
      `${detail}: this replica does not lead, or is handing over`,
    );
  }

  /** The configuration that the change at `index` made is applied. */
  applied(index: number, joint: boolean): void {
    const change = this.#change;
    if (change === null || joint || index < change.index) return;
    this.#change = null;
    change.resolve({ ok: true });
  }

  #untilLedBy(to: number): Promise<Done> {
    const detail = `Cannot hand ${this.#groupId} to node ${to}`;
    this.#endTransfer(refuse("policy_violation", `${detail}: another transfer took its place`));
    return new Promise((resolve) => {
      const late = `${detail}: it did not take over within ${transferMsMax} ms`;
      const timer = this.#world.setTimer(transferMsMax, () =>
        this.#endTransfer(refuse("request_timed_out", late)),
      );
      this.#transfer = { to, timer, resolve };
    });
  }

  /** Node id of the leader that is known now, 0: none. */
  ledBy(nodeId: number): void {
    if (this.#transfer?.to === nodeId) this.#endTransfer({ ok: true });
  }

  /** The term is over, or the replica. A transfer ends so as well: its outcome comes with the next leader. */
  lost(refusal: Refusal): void {
    const change = this.#change;
    this.#change = null;
    change?.resolve(refusal);
  }

  #endTransfer(done: Done): void {
    const transfer = this.#transfer;
    this.#transfer = null;
    transfer?.timer.cancel();
    transfer?.resolve(done);
  }
}

function* matchesOf(node: RawNode<unknown>): Iterable<readonly [number, number]> {
  for (const [id, { match }] of node.core.tracker.members) yield [id, match];
}
