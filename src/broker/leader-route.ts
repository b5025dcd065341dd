// Which node leads one partition, as far as this node knows, and finding out when it does not.
//
//   now()    the replica here says (it hears its leader), else what an answer said last; null: unknown
//   moved()  "I do not lead" or no connection: that node is passed over for a moment, the leader that it named is next
//   find()   asks: the preferred replica first, so that a new group's first election is the one that the placement
//            wants, then the replica here, else the other nodes of the assignment in turn
//
// Promise: a search pauses between its rounds, however fast every answer comes; one search a partition at a time. A wrong
// answer costs a refusal, never a wrong write: the node that is asked knows whether it leads.

import { refuse, type Refusal } from "../errors.ts";
import type { Calls } from "../transport/calls.ts";
import type { World } from "../world.ts";
import type { Assignments } from "./assignments.ts";
import type { Closing } from "./closing.ts";
import type { HostedLog } from "./hosted-log.ts";
import { leaderAnswer, type LeaderQuestion } from "./log-calls.ts";
import { unknownGroup } from "./partition-slot.ts";

/** A node that refused is passed over for this long, ms: an election takes longer. */
const passedOverMs = 200;
/** The replica here refuses while it hands over, which takes a few round trips, ms. */
const handingOverMs = 10;
/** How long one node is asked to wait for an election before the next one is asked, ms ... */
const askMs = 1_000;
/** ... and what its answer may take on top. */
const answerMs = 500;
/** Between two rounds that found nothing, ms. */
const pauseMs = 20;

export interface RouteParts {
  readonly world: World;
  readonly closing: Closing;
  readonly calls: Calls;
  readonly assignments: Assignments;
}

export class LeaderRoute {
  readonly groupId: string;
  readonly #parts: RouteParts;
  readonly #nodeId: number;
  /** The replica here, when there is one and it is open. Set by the owner. */
  hosted: HostedLog | null = null;
  /** What an answer said last. */
  #told: number | null = null;
  /** Node id -> until when it is passed over, monotonic ms. */
  readonly #passedOver = new Map<number, number>();
  #searching: Promise<void> | null = null;
  #news = Promise.withResolvers<void>();
  /** Searches begun. */
  searches = 0;

  constructor(parts: RouteParts, groupId: string) {
    this.#parts = parts;
    this.#nodeId = parts.assignments.nodeId;
    this.groupId = groupId;
  }

  /** Node id of a leader that can be asked, or null. Cost: a few comparisons. */
  now(): number | null {
    const { hosted } = this;
    if (hosted !== null) {
      if (hosted.answers && !this.#isPassedOver(this.#nodeId)) return this.#nodeId;
      const { leaderId } = hosted.replica.role;
      if (leaderId !== 0 && leaderId !== this.#nodeId && !this.#isPassedOver(leaderId))
        return leaderId;
    }
    const told = this.#told;
    if (told === null || told === this.#nodeId || this.#isPassedOver(told)) return null;
    return told;
  }

  /** Like now(), for a person: also a leader that was passed over for a moment. */
  known(): number | null {
    const leaderId = this.hosted?.replica.role.leaderId ?? 0;
    return leaderId === 0 ? this.#told : leaderId;
  }

  /** A leader's node id as soon as one is known; not_leader_or_follower when time is over, unknown_topic_or_partition
   *  when the metadata has no such group, shutting_down. */
  async find(timeoutMs: number): Promise<number | Refusal> {
    const { world, assignments, closing } = this.#parts;
    const until = world.monotonic() + timeoutMs;
    for (;;) {
      if (closing.isOver) return refuse("shutting_down", "The node is stopping");
      const known = this.now();
      if (known !== null) return known;
      if (assignments.of(this.groupId).length === 0) return unknownGroup(this.groupId);
      const left = until - world.monotonic();
      if (left <= 0) return this.#nobody(timeoutMs);
      this.#searching ??= this.#search().finally(() => {
        this.#searching = null;
      });
      await this.#atMost(left, this.#searching);
    }
  }

  /** The replica here may have heard of another leader: who searches looks again. */
  heard(): void {
    if (this.#searching === null) return;
    this.#news.resolve();
    this.#news = Promise.withResolvers<void>();
  }

  /** Another node than `from` may be able to do what that one refused. */
  hasMoved(from: number, { code }: Refusal): boolean {
    if (code === "not_leader_or_follower" || code === "node_unreachable") return true;
    if (from === this.#nodeId) return false;
    // It has not heard of the topic yet, or is about to stop.
    const isKnownHere = this.#parts.assignments.of(this.groupId).length > 0;
    return code === "shutting_down" || (code === "unknown_topic_or_partition" && isKnownHere);
  }

  /** That node does not lead, or cannot be reached; `leader` is who does, as it believes. */
  moved(from: number, leader: number | null): void {
    const ms = from === this.#nodeId ? handingOverMs : passedOverMs;
    this.#passedOver.set(from, this.#parts.world.monotonic() + ms);
    if (this.#told === from) this.#told = null;
    if (leader !== null && leader !== from) this.#told = leader;
  }

  /** One round. Ends early only when now() has an answer. */
  async #search(): Promise<void> {
    this.searches += 1;
    const { assignments } = this.#parts;
    const nodes = assignments.of(this.groupId).map(({ nodeId }) => nodeId);
    const others = nodes.filter((nodeId) => nodeId !== this.#nodeId);
    const isFirst = nodes[0] === this.#nodeId;
    const { hosted } = this;
    if (hosted !== null && isFirst) await this.#askHere(hosted);
    else if (hosted !== null) {
      await this.#ask(nodes[0]);
      if (this.now() === null) await this.#askHere(hosted);
    } else {
      for (const nodeId of others) {
        await this.#ask(nodeId);
        if (this.now() !== null) return;
      }
    }
    if (this.now() === null && !this.#parts.closing.isOver) await this.#pause();
  }

  async #askHere(hosted: HostedLog): Promise<void> {
    try {
      const leader = await hosted.replica.leader(askMs);
      if (leader !== this.#nodeId) this.#told = leader;
    } catch {
      // No election has succeeded yet; the search goes on, or its time is over.
    }
  }

  async #ask(nodeId: number): Promise<void> {
    const head: LeaderQuestion = { groupId: this.groupId, waitMs: askMs };
    const timeoutMs = askMs + answerMs;
    try {
      const { calls } = this.#parts;
      const answer = await calls.call({ to: nodeId, verb: "leader", head, timeoutMs });
      this.#told = leaderAnswer(answer.head) ?? this.#told;
    } catch {
      // It is down, or too busy: the next one is asked.
    }
  }

  #isPassedOver(nodeId: number): boolean {
    const until = this.#passedOver.get(nodeId);
    if (until === undefined) return false;
    if (until > this.#parts.world.monotonic()) return true;
    this.#passedOver.delete(nodeId);
    return false;
  }

  #pause(): Promise<void> {
    const { world } = this.#parts;
    const ms = pauseMs * (1 + world.random());
    return new Promise((resolve) => void world.setTimer(ms, resolve));
  }

  async #atMost(ms: number, work: Promise<void>): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = this.#parts.world.setTimer(ms, resolve);
    await Promise.race([work, late, this.#news.promise, this.#parts.closing.over]);
    timer.cancel();
  }

  #nobody(timeoutMs: number): Refusal {
    const { assignments } = this.#parts;
    const nodes = assignments.of(this.groupId).map(({ nodeId }) => nodeId);
    const detail = `Partition ${assignments.nameOf(this.groupId)} has no leader that could be reached within ${Math.round(timeoutMs)} ms; its replicas are on node ${nodes.join(", ")}, and a majority of them must run`;
    return refuse("not_leader_or_follower", detail, { retryAfterMs: 1_000 });
  }
}
