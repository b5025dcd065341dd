// What the beats of nodes mean for the replicas of this node: the place where node-watch.ts meets the host.
//
//   leader's node gone      --> each replica forgets its leader --(paced: campaign-pace.ts)--> campaigns
//   leader told             --> the replica hears a heartbeat of that leader
//   node heard or silent    --> replicas look whether time concerns them (pulse.ts); where one that was missing makes a
//                               quorum and no leader is known: paced --> campaigns
//   this node unfit         --> every leadership is offered to a fit node, again each beat, 256 a beat; no campaigns
//
// Promise: nothing here costs anything for a replica at rest; one timer while campaigns wait. Left to others: what a
// replica's core does when it is told (hosted-replica.ts).

import type { JournalHealth } from "../../journal/journal.ts";
import type { InPacket, Transport } from "../../transport/transport.ts";
import type { Timer, World } from "../../world.ts";
import { CampaignPace } from "./campaign-pace.ts";
import type { Leadership, Leaderships } from "./leaderships.ts";
import { beatMs, type PeerView } from "./liveness.ts";
import type { UnfitReason } from "./node-health.ts";
import { NodeWatch } from "./node-watch.ts";
import type { NodeTable } from "./pulse.ts";

/** Leaderships that are offered at a time, and how long until the next are, ms. */
const offersPerBeat = 256;
const offerAgainMs = beatMs;

/** What a replica is told. Each is cheap and idempotent, and may be told when it is no longer true. */
export interface VigilantReplica {
  /** Its leader's node is gone: forget the leader. Its rank among those of its group that may campaign
   *  (campaign-pace.ts), to do so when campaignDue() is called; null: it may not. */
  leaderGone(): number | null;
  /** As good as a heartbeat. */
  leaderTold(row: Leadership): void;
  campaignDue(): void;
  /** Offers the leadership to a voter whose node can lead. "waits": an offer is under way, or nobody can lead. */
  handOver(canLead: (nodeId: number) => boolean): "offered" | "waits" | "leads not";
  /** The node table changed. Its rank where it wants to campaign now, as leaderGone() tells it; null: it does not. */
  nodeChanged(nodeId: number): number | null;
}

export interface VigilOptions<R extends VigilantReplica> {
  readonly nodeId: number;
  readonly world: World;
  readonly transport: Transport;
  readonly health: () => Pick<JournalHealth, "state" | "oldestFlushMs">;
  /** The replica here with this raft id; null: it is not here. */
  readonly find: (groupId: string, raftId: number) => R | null;
  /** The open replica of the group. */
  readonly open: (groupId: string) => R | null;
  readonly all: () => Iterable<R>;
  /** Whether a node is heard and hears this one changed. */
  readonly onReach: (nodeId: number, reached: boolean) => void;
}

export class Vigil<R extends VigilantReplica> implements NodeTable {
  readonly #options: VigilOptions<R>;
  readonly #watch: NodeWatch;
  readonly #pace: CampaignPace<R>;
  #campaigns: Timer | null = null;
  #offers: Timer | null = null;
  #stopped = false;

  constructor(options: VigilOptions<R>) {
    this.#options = options;
    const { nodeId, world, transport, health, find } = options;
    this.#pace = new CampaignPace(() => world.random());
    this.#watch = new NodeWatch({
      nodeId,
      world,
      transport,
      health,
      events: {
        onLeaderGone: (groupIds) => this.#onLeaderGone(groupIds),
        onLeaderTold: (row) => find(row.groupId, row.member)?.leaderTold(row),
        onNode: (node) => this.#onNode(node),
        onReach: options.onReach,
        onFitness: (reason) => this.#onFitness(reason),
      },
    });
  }

  /** Kept current by the replicas. */
  get leaderships(): Leaderships {
    return this.#watch.leaderships;
  }

  /** This node may lead and campaign. */
  get fit(): boolean {
    return this.#watch.fit;
  }

  /** Why it may not; null: it may. */
  get unfit(): UnfitReason | null {
    return this.#watch.unfit;
  }

  live(nodeId: number): boolean {
    return this.#watch.live(nodeId);
  }

  /** Lives, and says that it can lead. */
  canLead(nodeId: number): boolean {
    return this.#watch.canLead(nodeId);
  }

  active(nodeId: number): boolean {
    return this.#watch.active(nodeId);
  }

  peers(): PeerView[] {
    return this.#watch.peers();
  }

  /** True when the packet was for the watch. */
  onPacket(packet: InPacket): boolean {
    return this.#watch.onPacket(packet);
  }

  /** The first connection begins the watch: a node alone has nobody to tell. */
  onUp(nodeId: number): void {
    if (this.#stopped) return;
    this.#watch.start();
    this.#watch.onUp(nodeId);
  }

  onDown(nodeId: number): void {
    this.#watch.onDown(nodeId);
  }

  /** The replica is gone. */
  forget(replica: R, groupId: string): void {
    this.#pace.cancel(replica);
    this.leaderships.cease(groupId);
    this.leaderships.unfollow(groupId);
  }

  stop(): void {
    this.#stopped = true;
    this.#watch.stop();
    this.#campaigns?.cancel();
    this.#offers?.cancel();
  }

  metrics(): Readonly<Record<string, number>> {
    return { ...this.#watch.metrics(), consensus_campaigns_waiting: this.#pace.size };
  }

  #onLeaderGone(groupIds: readonly string[]): void {
    const nowMs = this.#options.world.monotonic();
    const among = groupIds.length;
    for (const groupId of groupIds) {
      const replica = this.#options.open(groupId);
      const rank = replica?.leaderGone() ?? null;
      if (rank !== null) this.#pace.add(replica!, nowMs, { rank, among });
    }
    this.#planCampaigns();
  }

  #onNode(nodeId: number): void {
    const nowMs = this.#options.world.monotonic();
    const ranks: (readonly [R, number])[] = [];
    for (const replica of this.#options.all()) {
      const rank = replica.nodeChanged(nodeId);
      if (rank !== null) ranks.push([replica, rank]);
    }
    const among = ranks.length;
    for (const [replica, rank] of ranks) this.#pace.add(replica, nowMs, { rank, among });
    this.#planCampaigns();
  }

  #planCampaigns(): void {
    const waitMs = this.#pace.waitMs(this.#options.world.monotonic());
    if (waitMs === null || this.#campaigns !== null || this.#stopped) return;
    this.#campaigns = this.#options.world.setTimer(waitMs, () => {
      this.#campaigns = null;
      for (const replica of this.#pace.due(this.#options.world.monotonic())) replica.campaignDue();
      this.#planCampaigns();
    });
  }

  #onFitness(reason: UnfitReason | null): void {
    if (reason !== null) this.#offer();
  }

  #offer(): void {
    this.#offers?.cancel();
    this.#offers = null;
    if (this.fit || this.#stopped) return;
    let offered = 0;
    let leads = false;
    for (const replica of this.#options.all()) {
      if (offered === offersPerBeat) break;
      const outcome = replica.handOver((nodeId) => this.#watch.canLead(nodeId));
      if (outcome === "offered") offered += 1;
      leads ||= outcome !== "leads not";
    }
    if (leads) this.#offers = this.#options.world.setTimer(offerAgainMs, () => this.#offer());
  }
}
