// When a replica with peers campaigns, and when it hands its leadership over; a sole voter campaigns at first use.
//
//   used, no leader known    the group's first voter at once, the others after a random 0-150 ms
//   leader's node gone       as the vigil paces it (vigil.ts)
//   election lost            the core's own timeout
//
// Promise: no campaign of a node that should not lead, nor of one that hears no quorum of nodes; a campaign that is no
// longer wanted when its time has come is left out. Left to others: elections (raft/election.ts).

import { campaignRank } from "./campaign-pace.ts";
import { nodeOf } from "./identity.ts";
import type { CoreDriver } from "./core-driver.ts";
import type { CoreRun } from "./core-run.ts";
import type { Configurations } from "./configurations.ts";
import { hasQuorum } from "./pulse.ts";
import type { ReplicaContext } from "./replica-context.ts";
import { successorOf } from "./successor.ts";

/** The first voters are where the controller spreads leaders to, and votes do not split. */
const delayMsMax = 150;
/** At most so often for being used: elections that fail are repeated by the core's own timeout. */
const pauseMs = 1_000;

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
    if (this.#wanted) this.#ifLeaderless(run);
  }

  /** Its rank among the voters that are left; null: it may not campaign. */
  leaderGone(): number | null {
    const { driver, changed } = this.#parts;
    const run = driver.start();
    if (run === null) return driver.startWanted ? this.#rank() : null;
    const { core } = run.node;
    if (core.role !== "follower") return null;
    driver.guarded(() => run.node.forgetLeader());
    changed();
    return core.promotable() ? this.#rank() : null;
  }

  due(): void {
    const { driver, context } = this.#parts;
    const { run } = driver;
    const { vigil, world } = context;
    if (run === null || vigil === null || !isLeaderless(run)) return;
    if (!hasQuorum(run.node, (nodeId) => vigil.live(nodeId))) return;
    this.#campaignedAt = world.monotonic();
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

  #rank(): number | null {
    const { context, configurations, groupId, raftId } = this.#parts;
    const { vigil } = context;
    const left = configurations.state.voters.filter(
      (id) => id === raftId || vigil?.live(nodeOf(id)) === true,
    );
    return left.includes(raftId) ? campaignRank(groupId, raftId, left) : null;
  }

  #ifLeaderless(run: CoreRun): void {
    this.#wanted = false;
    if (!isLeaderless(run)) return;
    const { context, raftId, driver, configurations } = this.#parts;
    const { world } = context;
    const now = world.monotonic();
    if (configurations.isAlone(raftId)) {
      this.#campaign(run);
      return;
    }
    if (now - this.#campaignedAt < pauseMs) return;
    this.#campaignedAt = now;
    if (configurations.state.voters[0] === raftId) {
      this.#campaign(run);
      return;
    }
    world.setTimer(world.random() * delayMsMax, () => {
      if (driver.run === run && isLeaderless(run)) this.#campaign(run);
    });
  }

  #campaign(run: CoreRun): void {
    const { context, raftId, driver, configurations, changed } = this.#parts;
    if (context.vigil?.fit === false && !configurations.isAlone(raftId)) return;
    driver.guarded(() => run.node.campaign());
    changed();
  }
}

function isLeaderless({ node }: CoreRun): boolean {
  return node.core.lead === 0 && node.core.role === "follower";
}
