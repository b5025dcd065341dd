// Appends to one partition whose leader may be anywhere, and elsewhere in a moment: in order, never twice.
//
//   submit() --leader known, nobody waits--> sent ---answer--> settled
//        \--else--> line --leader found--> sent in order
//                     ^----------- "I do not lead" ----/
//
// Promise: an append is sent again only when nothing can have come of its last try, or when the leader would notice (an
// idempotency key, a producer's sequence); else its caller hears that its fate is unknown. A batch is held until its
// answer. Appends of one partition are sent in the order of submit(); after a refusal they go again in that order.
// Left to others: who leads (leader-route.ts), what is decided there (partition).

import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import { int32At, int64At } from "../bytes/big-endian.ts";
import { privateSlice } from "../bytes/slab-pool.ts";
import { field } from "../records/batch-layout.ts";
import type { World } from "../world.ts";
import type { LeaderRoute } from "./leader-route.ts";
import { leaderIn } from "./log-calls.ts";
import type { LogAppend, LogAppended } from "./partition-log.ts";
import type { PeerLogs } from "./peer-logs.ts";

/** The line gives up this long before the request's own time is over, so that its caller hears why. */
const answerMs = 100;

/** Bytes of all partitions' appends that wait here or are under way to other nodes. */
export interface ForwardBudget {
  bytes: number;
}

export interface LineParts {
  readonly world: World;
  readonly nodeId: number;
  readonly route: LeaderRoute;
  readonly peers: PeerLogs;
  readonly budget: ForwardBudget;
}

type Outcome = LogAppended | Refusal;

interface Waiting {
  /** Of one that is in doubt a copy: its bytes may still be on their way, and whoever leads stamps them. */
  append: LogAppend;
  /** Place in the order of submit(). */
  readonly place: number;
  readonly answer: (outcome: Outcome) => void;
  /** No leader is waited for beyond it, monotonic ms. */
  readonly giveUpAt: number;
  /** It was sent once at least, and may have been written. */
  isInDoubt: boolean;
  /** Its bytes are in the budget. */
  isCounted: boolean;
}

export class AppendLine {
  readonly #parts: LineParts;
  /** By place. */
  #line: Waiting[] = [];
  #places = 0;
  #isPumping = false;

  constructor(parts: LineParts) {
    this.#parts = parts;
  }

  submit(append: LogAppend): Promise<Outcome> {
    return new Promise((resolve) => {
      const { world, route } = this.#parts;
      append.batch.retain();
      const waiting: Waiting = {
        append,
        place: (this.#places += 1),
        answer: resolve,
        giveUpAt: world.monotonic() + Math.max(append.timeoutMs - answerMs, append.timeoutMs / 2),
        isInDoubt: false,
        isCounted: false,
      };
      const leader = this.#line.length === 0 ? route.now() : null;
      if (leader !== null) this.#send(waiting, leader);
      else this.#enqueue(waiting);
    });
  }

  #send(waiting: Waiting, to: number): void {
    const { nodeId, route, peers, world } = this.#parts;
    const { append } = waiting;
    const { hosted } = route;
    if (to === nodeId) {
      // The replica here was dropped meanwhile.
      if (hosted === null) return this.#enqueue(waiting);
      void hosted.append(append).then((outcome) => this.#settled(waiting, to, outcome));
      return;
    }
    if (!this.#count(waiting)) return this.#end(waiting, tooMuch());
    const left = waiting.giveUpAt + answerMs - world.monotonic();
    const asked = { to, groupId: route.groupId, timeoutMs: Math.max(left, 1) };
    void peers.append(asked, append).then((outcome) => this.#settled(waiting, to, outcome));
  }

  #settled(waiting: Waiting, from: number, outcome: Outcome): void {
    const { route, world } = this.#parts;
    if (outcome.ok || !route.hasMoved(from, outcome)) return this.#end(waiting, outcome);
    route.moved(from, leaderIn(outcome));
    const isUnknown = outcome.sideEffects === "unknown";
    if (isUnknown && !wouldBeNoticed(waiting.append)) return this.#end(waiting, outcome);
    if (isUnknown) this.#doubt(waiting);
    if (waiting.giveUpAt <= world.monotonic()) return this.#end(waiting, outcome);
    this.#enqueue(waiting);
  }

  #doubt(waiting: Waiting): void {
    const { batch } = waiting.append;
    waiting.isInDoubt = true;
    waiting.append = { ...waiting.append, batch: privateSlice(batch.bytes.slice()) };
    batch.release();
  }

  #enqueue(waiting: Waiting): void {
    if (!this.#count(waiting)) return this.#end(waiting, tooMuch());
    let at = this.#line.length;
    while (at > 0 && this.#line[at - 1].place > waiting.place) at -= 1;
    this.#line.splice(at, 0, waiting);
    if (!this.#isPumping) void this.#pump();
  }

  async #pump(): Promise<void> {
    this.#isPumping = true;
    const { route, world } = this.#parts;
    while (this.#line.length > 0) {
      const giveUpAt = this.#line.reduce((first, one) => Math.min(first, one.giveUpAt), Infinity);
      const found = await route.find(Math.max(0, giveUpAt - world.monotonic()));
      const line = this.#line;
      this.#line = [];
      if (typeof found === "number") for (const one of line) this.#send(one, found);
      else this.#sortOut(line, found);
    }
    this.#isPumping = false;
  }

  /** There is no leader: who has waited long enough hears so. */
  #sortOut(line: readonly Waiting[], refusal: Refusal): void {
    const now = this.#parts.world.monotonic();
    const isOver = refusal.code !== "not_leader_or_follower";
    for (const one of line)
      if (isOver || one.giveUpAt <= now) this.#end(one, refusal);
      else this.#line.push(one);
  }

  #end(waiting: Waiting, outcome: Outcome): void {
    const { append, isInDoubt, answer } = waiting;
    if (waiting.isCounted) this.#parts.budget.bytes -= append.batch.bytes.length;
    append.batch.release();
    answer(isInDoubt && !outcome.ok ? { ...outcome, sideEffects: "unknown" } : outcome);
  }

  /** False when there is no room. */
  #count(waiting: Waiting): boolean {
    if (waiting.isCounted) return true;
    const { budget } = this.#parts;
    const { length } = waiting.append.batch.bytes;
    if (budget.bytes + length > limits.journalQueueBytesMax) return false;
    budget.bytes += length;
    waiting.isCounted = true;
    return true;
  }
}

/** The leader knows a second try from a new append. */
function wouldBeNoticed({ batch, idempotency }: LogAppend): boolean {
  if (idempotency !== undefined) return true;
  const { bytes } = batch;
  return int64At(bytes, field.producerId) >= 0 && int32At(bytes, field.baseSequence) >= 0;
}

function tooMuch(): Refusal {
  const detail = `Cannot append: ${limits.journalQueueBytesMax} bytes wait for leaders on other nodes already`;
  return refuse("overloaded", detail, { retryAfterMs: 1_000 });
}
