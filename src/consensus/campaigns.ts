// When a replica with peers campaigns, and when it hands its leadership over; a sole voter campaigns at first use.
//
//   used, no leader known    the first in the order of the voters that live at once, the second after a random 0-150 ms,
//                            the third after 150 ms more; the order begins with the group's first voter, or, where that
//                            one's node is gone, turns from group to group
//   a quorum is heard again  as the vigil paces it, where no leader is known: nodes that started together would wait for
//                            the core's timeout, because their first questions found nobody
//   leader's node gone       as the vigil paces it (vigil.ts); when it is used meanwhile, the first does not wait
//   election of another      not at all for a moment: that one is about to lead
//   election lost            the core's own timeout
//
// Promise: no campaign of a node that should not lead, nor of one that hears no quorum of nodes; a campaign that is no
// longer wanted when its time has come is left out. Left to others: elections (raft/election.ts).

import { campaignRank } from "./liveness/campaign-pace.ts";
import { nodeOf } from "./identity.ts";
import type { CoreDriver } from "./core-driver.ts";
import type { CoreRun } from "./core-run.ts";
import type { Configurations } from "./configurations.ts";
import { hasQuorum } from "./liveness/pulse.ts";
import type { ReplicaContext } from "./replica-context.ts";
import { successorOf } from "./liveness/successor.ts";

/** The first voters are where the controller spreads leaders to, and votes do not split. */
const delayMsMax = 150;
/** At most so often for being used: elections that fail are repeated by the core's own timeout. */
const pauseMs = 1_000;
/** Whoever has reached a new term is its leader soon. Who campaigned within this time would take that one's votes away: a
 *  handover with writers at the former leader, whom they made campaign, went back and forth for seconds. */
const electingTicks = 5;

export interface CampaignsParts {
  readonly context: ReplicaContext;
  readonly groupId: string;
  readonly raftId: number;
  readonly driver: CoreDriver;
  readonly configurations: Configurations;
  readonly changed: () => void;
}

export class Campaigns {
  readonly #parts: CampaignsParts;
  /** As soon as the core has started. */
  #wanted = false;
  #campaignedAt = -Infinity;
  /** The election of this term is over: the core began with it, or its leader was known and is gone. */
  #overTerm = 0;
  /** Its rank while the vigil lets it wait for its turn: whoever else campaigned meanwhile would split the votes. */
  #paced: number | null = null;

  constructor(parts: CampaignsParts) {
    this.#parts = parts;
  }

  /** The replica is used: starts the core, and an election where no leader is known. */
  use(): void {
    const run = this.#parts.driver.start();
    if (run === null) this.#wanted = true;
    else this.#ifLeaderless(run);
  }

  onStarted(run: CoreRun): void {
    this.#overTerm = run.node.core.term;
    if (this.#wanted) this.#ifLeaderless(run);
  }

  /** Its rank among the voters that are left; null: it may not campaign. */
  leaderGone(): number | null {
    const { driver, changed } = this.#parts;
    const run = driver.start();
    if (run === null) return driver.startWanted ? this.#pace() : null;
    const { core } = run.node;
    if (core.role !== "follower") return null;
    this.#overTerm = core.term;
    driver.guarded(() => run.node.forgetLeader());
    changed();
    return core.promotable() ? this.#pace() : null;
  }

  /** A node is heard again: the replica's rank where it knows no leader and hears a quorum now; null: nothing follows. */
  nodeHeard(): number | null {
    const { run } = this.#parts.driver;
    if (run === null || !isAsking(run) || !run.node.core.promotable()) return null;
    return this.#hearsQuorum(run) ? this.#pace() : null;
  }

  due(): void {
    const { driver, context } = this.#parts;
    this.#paced = null;
    const { run } = driver;
    if (run === null || !isAsking(run) || !this.#hearsQuorum(run)) return;
    this.#campaignedAt = context.world.monotonic();
    this.#campaign(run);
  }

  handOver(canLead: (nodeId: number) => boolean): "offered" | "waits" | "leads not" {
    const { driver, configurations, raftId, changed } = this.#parts;
    const { run } = driver;
    const leads = run !== null && run.node.core.role === "leader";
    if (!leads || configurations.isAlone(raftId)) return "leads not";
    const to = successorOf(run.node, canLead);
    if (to === 0) return "waits";
    driver.guarded(() => run.node.transferLeader(to));
    changed();
    return "offered";
  }

  #hearsQuorum({ node }: CoreRun): boolean {
    const { vigil } = this.#parts.context;
    return vigil !== null && hasQuorum(node, (nodeId) => vigil.live(nodeId));
  }

  #pace(): number | null {
    const { groupId, raftId } = this.#parts;
    const left = this.#left();
    this.#paced = left.includes(raftId) ? campaignRank(groupId, raftId, left) : null;
    return this.#paced;
  }

  /** Voters whose nodes live, this one among them if it is a voter; ascending. */
  #left(): readonly number[] {
    const { context, configurations, raftId } = this.#parts;
    const { vigil } = context;
    return configurations.state.voters.filter(
      (id) => id === raftId || vigil?.live(nodeOf(id)) === true,
    );
  }

  /** In the order of use. */
  #rank(): number {
    const { configurations, groupId, raftId } = this.#parts;
    const left = this.#left();
    // One that is no voter as far as it knows has no say: the core does not let it campaign.
    if (!left.includes(raftId)) return left.length;
    const isFirstLeft = left[0] === configurations.state.voters[0];
    return isFirstLeft ? left.indexOf(raftId) : campaignRank(groupId, raftId, left);
  }

  #ifLeaderless(run: CoreRun): void {
    this.#wanted = false;
    const { context, raftId, driver, configurations } = this.#parts;
    if (configurations.isAlone(raftId)) {
      // It may believe in a leader that was a member once, and that nobody takes back from it.
      driver.guarded(() => run.takeOver());
      this.#parts.changed();
      return;
    }
    if (!isLeaderless(run)) return;
    const { world } = context;
    const now = world.monotonic();
    if (now - this.#campaignedAt < pauseMs || (this.#paced ?? 0) > 0) return;
    this.#campaignedAt = now;
    const rank = this.#paced ?? this.#rank();
    if (rank === 0) {
      this.#campaign(run);
      return;
    }
    const waitMs = (rank - 1 + world.random()) * delayMsMax;
    world.setTimer(waitMs, () => {
      if (driver.run === run && isLeaderless(run)) this.#campaign(run);
    });
  }

  #campaign(run: CoreRun): void {
    const { context, raftId, driver, configurations, changed } = this.#parts;
    const mayNot = context.vigil?.fit === false || this.#isElecting(run);
    if (mayNot && !configurations.isAlone(raftId)) return;
    driver.guarded(() => run.node.campaign());
    changed();
  }

  /** Another replica reached this term a moment ago, and nobody has led in it yet. */
  #isElecting({ node: { core } }: CoreRun): boolean {
    return core.term !== this.#overTerm && core.electionElapsed < electingTicks;
  }
}

/** It knows no leader, and has not raised its term: asking once more costs the others nothing. */
function isAsking(run: CoreRun): boolean {
  return isLeaderless(run) || run.node.core.role === "preCandidate";
}

function isLeaderless({ node }: CoreRun): boolean {
  return node.core.lead === 0 && node.core.role === "follower";
}
