// Which nodes live, as this node can tell: by their beats, by its connections with them, and by whether they hear it.
//
//   unknown ---beat---> live ---no beat for silentMs, or every connection ended, or another boot---> silent
//                         ^                                                                            |
//                         +-------------------------------- beat -------------------------------------+
//
// Silence is measured in this node's own waking time: while this process (or its machine) stood still, nobody can be
// blamed for not having been heard. A tick that comes late counts as two ticks at most, so whatever arrived meanwhile is
// heard before anybody is declared silent.
//
// Promise: pure, told the time; O(peers) a tick. A live node is never declared silent because of a pause of up to
// silentMs - 2 beats, on either side. Left to others: sending (node-watch.ts), sums of leaderships (leaderships.ts), what
// the replicas do about it (host).

import type { Beat, LedSum } from "./beat.ts";

/** Between two beats, ms. */
export const beatMs = 150;
/** A node that was not heard for this long, in waking time, is taken for gone, ms. Outlives the pauses of 450 ms that
 *  virtual machines make (reference/runtime.md), with two beats to spare. */
export const silentMs = 1_000;
/** A tick that comes later than this has been a stall of our own; the rest of it counts for nothing. */
const wakingMsMax = 2 * beatMs;
/** Differing sums must last this many beats before they are asked about: leaders change while beats travel. */
const differingBeatsMin = 2;
/** Beats between two questions of which the second has nothing new to ask. */
const questionBeatsMax = 32;
/** Beats whose time of sending is remembered, far more than fit into silentMs. */
const sentKept = 64;

export interface LivenessActions {
  /** Nodes that are gone: whatever replicas they led has no leader now. */
  readonly silent: readonly number[];
  /** Nodes that are heard (again). */
  readonly restored: readonly number[];
  /** Nodes to be asked what they lead. */
  readonly ask: readonly number[];
}

/** What is known of a peer, for status and for choosing a successor. */
export interface PeerView {
  readonly nodeId: number;
  readonly live: boolean;
  /** It heard us within silentMs: what check-quorum counts. */
  readonly hearsUs: boolean;
  /** It says of itself that it can lead. */
  readonly healthy: boolean;
  /** Waking time since its last beat, ms; Infinity before the first. */
  readonly silentMs: number;
  readonly oldestFlushMs: number;
}

interface Peer {
  live: boolean;
  /** Newest beat; null before the first. */
  beat: Beat | null;
  /** In waking time. */
  heardAt: number;
  /** When the newest of our beats that it echoed was sent, in waking time. */
  hearsUsSince: number;
  differing: number;
  /** Differing beats that the next question waits for. */
  questionAt: number;
  /** What the sums were when it was asked last. */
  asked: { readonly theirs: LedSum; readonly ours: LedSum } | null;
}

export interface LivenessOptions {
  /** Random number of this process, > 0. */
  readonly bootId: number;
  /** Monotonic, ms. */
  readonly nowMs: number;
}

export class Liveness {
  readonly #bootId: number;
  readonly #peers = new Map<number, Peer>();
  /** Waking time, ms, and when it was counted last. */
  #awake = 0;
  #countedAt: number;
  #sequence = 0;
  /** Waking time at which beat n was sent, at n % sentKept. */
  readonly #sentAt: number[] = Array.from({ length: sentKept }, () => -Infinity);

  constructor({ bootId, nowMs }: LivenessOptions) {
    this.#bootId = bootId;
    this.#countedAt = nowMs;
  }

  /** The other nodes of the cluster. One that is left out is forgotten; it counts as silent if it lived. */
  setPeers(nodeIds: readonly number[]): LivenessActions {
    const silent: number[] = [];
    for (const [node, peer] of this.#peers) {
      if (nodeIds.includes(node)) continue;
      this.#peers.delete(node);
      if (peer.live) silent.push(node);
    }
    for (const node of nodeIds) if (!this.#peers.has(node)) this.#peers.set(node, newPeer());
    return { ...noActions, silent };
  }

  /** Once each beatMs: time for beats to every peer. Whoever was not heard for too long is silent now. */
  tick(nowMs: number): LivenessActions {
    this.#awake = this.#awakeAt(nowMs);
    this.#countedAt = nowMs;
    this.#sequence += 1;
    this.#sentAt[this.#sequence % sentKept] = this.#awake;
    const silent: number[] = [];
    for (const [node, peer] of this.#peers) {
      if (!peer.live || this.#awake - peer.heardAt < silentMs) continue;
      this.#end(peer);
      silent.push(node);
    }
    return { ...noActions, silent };
  }

  /** The beat for a peer, after tick(). `led`: what this node leads there. */
  beatFor(
    node: number,
    own: Pick<Beat, "led" | "healthy" | "oldestFlushMs" | "appendStalledMs">,
  ): Beat {
    const heard = this.#peers.get(node)?.beat ?? null;
    return {
      ...own,
      bootId: this.#bootId,
      sequence: this.#sequence,
      echoBootId: heard?.bootId ?? 0,
      echoSequence: heard?.sequence ?? 0,
    };
  }

  /** A beat of a peer. `believed`: what is believed here to be led by it. One of an unknown node, or one that is not
   *  newer than the last, changes nothing. */
  hear(from: number, beat: Beat, { believed, nowMs }: Heard): LivenessActions {
    const peer = this.#peers.get(from);
    if (peer === undefined) return noActions;
    const sameBoot = peer.beat?.bootId === beat.bootId;
    if (sameBoot && beat.sequence <= peer.beat!.sequence) return noActions;
    const awake = this.#awakeAt(nowMs);
    const restarted = peer.live && !sameBoot;
    const restored = restarted || !peer.live;
    if (!sameBoot) peer.hearsUsSince = -Infinity;
    peer.live = true;
    peer.beat = beat;
    peer.heardAt = awake;
    this.#hearEcho(peer, beat);
    const ask = this.#differs(peer, { theirs: beat.led, ours: believed, atOnce: restored });
    return {
      silent: restarted ? [from] : [],
      restored: restored ? [from] : [],
      ask: ask ? [from] : [],
    };
  }

  /** Every connection with the peer has ended. */
  linkDown(node: number): LivenessActions {
    const peer = this.#peers.get(node);
    if (peer === undefined || !peer.live) return noActions;
    this.#end(peer);
    return { ...noActions, silent: [node] };
  }

  /** Heard lately, as far as this node was awake to hear. */
  live(node: number): boolean {
    return this.#peers.get(node)?.live ?? false;
  }

  /** Lives, and hears this node: what an answer to a heartbeat would prove. */
  active(node: number, nowMs: number): boolean {
    const peer = this.#peers.get(node);
    if (peer === undefined || !peer.live) return false;
    return this.#awakeAt(nowMs) - peer.hearsUsSince < silentMs;
  }

  /** Lives and says that it can lead. */
  canLead(node: number): boolean {
    const peer = this.#peers.get(node);
    return peer !== undefined && peer.live && peer.beat!.healthy;
  }

  peers(nowMs: number): PeerView[] {
    const awake = this.#awakeAt(nowMs);
    return [...this.#peers].map(([nodeId, { live, beat, heardAt }]) => ({
      nodeId,
      live,
      hearsUs: this.active(nodeId, nowMs),
      healthy: live && beat!.healthy,
      silentMs: awake - heardAt,
      oldestFlushMs: beat?.oldestFlushMs ?? 0,
    }));
  }

  #awakeAt(nowMs: number): number {
    return this.#awake + Math.max(0, Math.min(nowMs - this.#countedAt, wakingMsMax));
  }

  #end(peer: Peer): void {
    peer.live = false;
    peer.differing = 0;
    peer.asked = null;
  }

  #hearEcho(peer: Peer, { echoBootId, echoSequence }: Beat): void {
    const known = echoSequence > this.#sequence - sentKept && echoSequence <= this.#sequence;
    if (echoBootId !== this.#bootId || echoSequence < 1 || !known) return;
    peer.hearsUsSince = Math.max(peer.hearsUsSince, this.#sentAt[echoSequence % sentKept]);
  }

  /** True when it is time to ask: a difference that lasts; the same one again after twice as long each time. */
  #differs(
    peer: Peer,
    { theirs, ours, atOnce }: { theirs: LedSum; ours: LedSum; atOnce: boolean },
  ): boolean {
    if (equalSums(theirs, ours)) {
      peer.differing = 0;
      peer.asked = null;
      return false;
    }
    const { asked } = peer;
    const nothingNew =
      asked !== null && equalSums(asked.theirs, theirs) && equalSums(asked.ours, ours);
    if (!nothingNew) peer.questionAt = Math.min(peer.questionAt, differingBeatsMin);
    peer.differing += 1;
    if (peer.differing < peer.questionAt && !atOnce) return false;
    peer.differing = 0;
    peer.questionAt = nothingNew
      ? Math.min(2 * peer.questionAt, questionBeatsMax)
      : differingBeatsMin;
    peer.asked = { theirs, ours };
    return true;
  }
}

interface Heard {
  readonly believed: LedSum;
  /** Monotonic, ms. */
  readonly nowMs: number;
}

const noActions: LivenessActions = { silent: [], restored: [], ask: [] };

function newPeer(): Peer {
  return {
    live: false,
    beat: null,
    heardAt: -Infinity,
    hearsUsSince: -Infinity,
    differing: 0,
    questionAt: differingBeatsMin,
    asked: null,
  };
}

export function equalSums(x: LedSum, y: LedSum): boolean {
  return x.count === y.count && x.a === y.a && x.b === y.b;
}
