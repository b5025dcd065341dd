// Reads that wait for proof that this node still leads (thesis 6.4).
//
//      position  1  2  3 | 4  5          confirmed = 3: a quorum answered a heartbeat of round >= 3
//                 served    waiting      the next heartbeat carries round 5
//
// Promise: a round is a counter made here, per term, so an answer to an old heartbeat never confirms a newer read
// (etcd #20418: contexts chosen by callers were reused on retry, and reads came back stale). Each read keeps the commit
// index of its own arrival. Left to others: when to ask and whom to answer (reads.ts).

import { jointCommitted, type Acknowledged, type Voters } from "./quorum.ts";
import type { Message, NodeId } from "./types.ts";

export interface ReadRequest<P> {
  /** The MsgReadIndex as it came: who asked, and its context. */
  readonly message: Message<P>;
  readonly index: number;
}

export class ReadRequests<P> implements Acknowledged {
  #waiting: ReadRequest<P>[] = [];
  #confirmed = 0;
  readonly #acks = new Map<NodeId, number>();
  /** Requests that came before this leader had committed an entry of its own term. */
  #early: Message<P>[] = [];
  #lastRequest: number;

  /** Request numbers of different starts must not meet: an answer to the node's former life could come late. */
  constructor(seed: number) {
    this.#lastRequest = (seed >>> 0) * 2 ** 20;
  }

  nextRequest(): number {
    return ++this.#lastRequest;
  }

  /** A new term: nothing that was asked or answered before counts. */
  reset(): void {
    this.#waiting = [];
    this.#confirmed = 0;
    this.#acks.clear();
    this.#early = [];
  }

  postpone(message: Message<P>): void {
    this.#early.push(message);
  }

  takePostponed(): readonly Message<P>[] {
    const early = this.#early;
    if (early.length > 0) this.#early = [];
    return early;
  }

  add(request: ReadRequest<P>): void {
    this.#waiting.push(request);
  }

  /** What a heartbeat must carry to confirm all that wait; 0 when none does. */
  round(): number {
    return this.#waiting.length === 0 ? 0 : this.#confirmed + this.#waiting.length;
  }

  acknowledge(from: NodeId, round: number): void {
    if (round > (this.#acks.get(from) ?? 0)) this.#acks.set(from, round);
  }

  ackedIndex(id: NodeId): number | undefined {
    return this.#acks.get(id);
  }

  /** The reads that a quorum has confirmed by now, oldest first. */
  takeConfirmed(voters: Voters): readonly ReadRequest<P>[] {
    const confirmed = jointCommitted(voters, this);
    const count = Math.min(confirmed - this.#confirmed, this.#waiting.length);
    if (count <= 0) return [];
    this.#confirmed += count;
    return this.#waiting.splice(0, count);
  }
}
