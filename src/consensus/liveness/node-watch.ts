// The shell around liveness: sends this node's beats, hears the others', and tells the host what follows for replicas.
//
//   every 150 ms        journal, lanes --> health --> beat to each peer            (node-health.ts, beat.ts)
//   beat of a peer      --> liveness --> sums differ for a while: question         (liveness.ts)
//   question of a peer  --> the groups led here, where the sums differ: pages      (leaderships.ts, led-pages.ts)
//   page of a peer      --> leaders that replicas here do not know; leaders that are none
//   peer is silent      --> every group that it led has no leader
//
// Promise: one timer a node and no message a group; nothing here waits for the disk; packets that cannot be read are
// counted and dropped. Left to others: what a replica does without its leader, or with one that it hears of (host).

import type { JournalHealth } from "../../journal/journal.ts";
import type { InPacket, OutPacket, Transport } from "../../transport/transport.ts";
import type { Timer, World } from "../../world.ts";
import { decodeBeat, encodeBeat } from "./beat.ts";
import { Leaderships, type Leadership } from "./leaderships.ts";
import { decodePage, decodeQuestion, encodePages, encodeQuestion } from "./led-pages.ts";
import { beatMs, Liveness, type LivenessActions, type PeerView } from "./liveness.ts";
import { NodeHealth, type UnfitReason } from "./node-health.ts";
import { packetKinds } from "../wire/packet-kinds.ts";

export interface NodeWatchEvents {
  /** Replicas here believed in a leader of these groups that is gone, or says that it is none. */
  onLeaderGone(groupIds: readonly string[]): void;
  /** A living node leads this group, and the replica here does not know. As good as a heartbeat of that leader. */
  onLeaderTold(row: Leadership): void;
  /** A node was heard again, or is silent: leaders here count their quorums anew. */
  onNode(nodeId: number): void;
  /** Whether a node is heard and hears this one changed; told first when both are so. */
  onReach(nodeId: number, reached: boolean): void;
  /** Whether this node may lead changed: null, or why not. */
  onFitness(reason: UnfitReason | null): void;
}

export interface NodeWatchOptions {
  readonly nodeId: number;
  readonly world: World;
  readonly transport: Transport;
  /** Of the journal; asked each beat. */
  readonly health: () => Pick<JournalHealth, "state" | "oldestFlushMs">;
  readonly events: NodeWatchEvents;
}

/** The least time between two answers to one node: an answer looks at all groups that are led here. */
const answerMsMin = beatMs / 2;
const bootIdMax = 2 ** 48;

export class NodeWatch {
  /** Kept current by the host. */
  readonly leaderships = new Leaderships();
  readonly #options: NodeWatchOptions;
  readonly #liveness: Liveness;
  readonly #health = new NodeHealth();
  readonly #answeredAt = new Map<number, number>();
  readonly #reached = new Set<number>();
  #timer: Timer | null = null;
  readonly #counters = { sent: 0, heard: 0, silent: 0, questions: 0, pages: 0, refused: 0 };

  constructor(options: NodeWatchOptions) {
    this.#options = options;
    const { world } = options;
    const bootId = 1 + Math.floor(world.random() * bootIdMax);
    this.#liveness = new Liveness({ bootId, nowMs: world.monotonic() });
  }

  /** Begins to beat. */
  start(): void {
    if (this.#timer === null) this.#beat();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** This node may lead and campaign. */
  get fit(): boolean {
    return this.#health.fit;
  }

  /** Why it may not; null: it may. */
  get unfit(): UnfitReason | null {
    return this.#health.reason;
  }

  /** Heard lately. */
  live(nodeId: number): boolean {
    return this.#liveness.live(nodeId);
  }

  /** Heard lately, and hears this node: RawNode.reportActive for each of its replicas. */
  active(nodeId: number): boolean {
    return this.#liveness.active(nodeId, this.#options.world.monotonic());
  }

  /** Lives, and says that it can lead: whom to hand leaderships to. */
  canLead(nodeId: number): boolean {
    return this.#liveness.canLead(nodeId);
  }

  peers(): PeerView[] {
    return this.#liveness.peers(this.#options.world.monotonic());
  }

  /** True when the packet was a beat, a question or a page. */
  onPacket(packet: InPacket): boolean {
    switch (packet.head[0]) {
      case packetKinds.beat:
        this.#onBeat(packet);
        return true;
      case packetKinds.question:
        this.#onQuestion(packet);
        return true;
      case packetKinds.page:
        this.#onPage(packet);
        return true;
      default:
        return false;
    }
  }

  /** A connection is open: the peer hears of this node at once, not at the next beat. */
  onUp(nodeId: number): void {
    this.#perform(this.#liveness.setPeers(this.#peerIds()));
    if (this.#timer !== null) this.#sendBeat(nodeId, 0);
  }

  onDown(nodeId: number): void {
    this.#perform(this.#liveness.linkDown(nodeId));
  }

  /** Gauges and counters by name. Cost: O(1). */
  metrics(): Readonly<Record<string, number>> {
    const { sent, heard, silent, questions, pages, refused } = this.#counters;
    return {
      consensus_beats_sent_total: sent,
      consensus_beats_heard_total: heard,
      consensus_nodes_silent_total: silent,
      consensus_led_questions_total: questions,
      consensus_led_pages_total: pages,
      consensus_watch_packets_refused_total: refused,
      consensus_fit: this.fit ? 1 : 0,
    };
  }

  #beat(): void {
    const { world, transport } = this.#options;
    this.#timer = world.setTimer(beatMs, () => this.#beat());
    const links = transport.links();
    this.#observeHealth(links.map((link) => (link.connected ? link.appendStalledMs : 0)));
    this.#perform(this.#liveness.setPeers(links.map((link) => link.nodeId)));
    this.#perform(this.#liveness.tick(world.monotonic()));
    for (const link of links) {
      if (link.connected) this.#sendBeat(link.nodeId, link.appendStalledMs);
    }
  }

  #tellReach(): void {
    for (const nodeId of this.#peerIds()) {
      const reached = this.active(nodeId);
      if (reached === this.#reached.has(nodeId)) continue;
      if (reached) this.#reached.add(nodeId);
      else this.#reached.delete(nodeId);
      this.#options.events.onReach(nodeId, reached);
    }
  }

  #observeHealth(stalledMs: readonly number[]): void {
    const before = this.#health.reason;
    const { state, oldestFlushMs } = this.#options.health();
    const storageFailed = state === "failed";
    this.#health.observe(
      { storageFailed, oldestFlushMs, stalledMs },
      this.#options.world.monotonic(),
    );
    const { reason } = this.#health;
    if (reason !== before) this.#options.events.onFitness(reason);
  }

  #sendBeat(nodeId: number, appendStalledMs: number): void {
    const beat = this.#liveness.beatFor(nodeId, {
      led: this.leaderships.ledToward(nodeId),
      healthy: this.fit,
      oldestFlushMs: this.#options.health().oldestFlushMs,
      appendStalledMs,
    });
    this.#counters.sent += 1;
    this.#send(nodeId, { head: encodeBeat(beat), body: [] });
  }

  #onBeat({ from, head }: InPacket): void {
    const beat = decodeBeat(head);
    if (!beat.ok) {
      this.#counters.refused += 1;
      return;
    }
    this.#counters.heard += 1;
    const nowMs = this.#options.world.monotonic();
    const believed = this.leaderships.believedOf(from);
    this.#perform(this.#liveness.hear(from, beat, { believed, nowMs }));
  }

  #onQuestion({ from, head, body }: InPacket): void {
    const question = decodeQuestion(head, body);
    if (!question.ok) {
      this.#counters.refused += 1;
      return;
    }
    const nowMs = this.#options.world.monotonic();
    if (nowMs - (this.#answeredAt.get(from) ?? -Infinity) < answerMsMin) return;
    this.#answeredAt.set(from, nowMs);
    const differing = this.leaderships.answer(from, question.sums);
    for (const page of encodePages(question.asOf, differing)) {
      this.#counters.pages += 1;
      this.#send(from, page);
    }
  }

  #onPage({ from, head, body }: InPacket): void {
    const page = decodePage({ from, head, body }, this.#options.nodeId);
    if (!page.ok) {
      this.#counters.refused += 1;
      return;
    }
    const { news, gone } = this.leaderships.learn(from, page);
    this.#lose(gone);
    for (const row of news) this.#options.events.onLeaderTold(row);
  }

  #perform({ silent, restored, ask }: LivenessActions): void {
    const { events } = this.#options;
    for (const node of silent) {
      this.#counters.silent += 1;
      this.#lose(this.leaderships.followedOf(node));
      events.onNode(node);
    }
    for (const node of restored) events.onNode(node);
    this.#tellReach();
    for (const node of ask) {
      // A deaf node answers nothing: replicas here would wait for it as long as it is heard.
      if (!this.active(node)) this.#lose(this.leaderships.followedOf(node));
      this.#counters.questions += 1;
      this.#send(node, encodeQuestion(this.leaderships.question(node)));
    }
  }

  #lose(groupIds: readonly string[]): void {
    if (groupIds.length === 0) return;
    for (const groupId of groupIds) this.leaderships.unfollow(groupId);
    this.#options.events.onLeaderGone(groupIds);
  }

  #send(nodeId: number, packet: OutPacket): void {
    this.#options.transport.send(nodeId, "control", packet);
  }

  #peerIds(): number[] {
    return this.#options.transport.links().map((link) => link.nodeId);
  }
}
