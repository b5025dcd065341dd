// Tailers that stand at the same place of a topic travel together: one reads for all, and each chunk is made once and
// put into every connection in one loop, so that a tailer more costs one enqueue and no promise.
//
//   commit -> wake -> reader: block -> chunk -> member, member, member ...
//                                              member without room: it falls behind and goes on alone (tailer.ts)
//   a tailer alone that has caught up -> the convoy at its place, or a new one; convoys that meet become one
//
// Promise: members get the same bytes as they would alone; nobody waits for the slowest. Places move, and chunks go out,
// without an await between: whoever joins gets exactly what comes behind the place at which it joined.

import { refusalOf } from "../../src/errors.ts";
import { tailTimes } from "../contract/names.ts";
import type { Deadline } from "./deadlines.ts";
import type { Services } from "./services.ts";
import { bytesOf, type TailChunk, type TailEnd, type TailReader } from "./tail-reader.ts";

/** One connection as its convoy sees it. */
export interface Traveller {
  /** Puts the chunk into the connection's buffer; false when there is no room. */
  offer(bytes: Uint8Array): boolean;
  /** Says that nothing has happened, if nothing waits in the buffer. */
  comment(bytes: Uint8Array): void;
  joined(convoy: Convoy): void;
  /** The convoy has gone on without it. */
  fellBehind(reader: TailReader): void;
  finish(end: TailEnd): void;
}

/** Who comes along, and when it must be told something at the latest, monotonic ms: a comment, and where it is
 *  (TailReader.checkpointAt). */
export interface Passenger {
  readonly traveller: Traveller;
  readonly commentAt: number;
  readonly checkpointAt: number;
}

const stillHere = bytesOf(": still here\n\n");

export class Convoy {
  readonly #services: Services;
  readonly #reader: TailReader;
  readonly #members = new Set<Traveller>();
  readonly #leave: () => void;
  readonly #comment: Deadline;
  readonly #checkpoint: Deadline;
  #key: string;
  #running = false;
  #moved = false;
  #over = false;

  /** Sets out from where the reader stands, which belongs to the convoy from now on. */
  static start(services: Services, reader: TailReader, first: Passenger): void {
    const convoy = new Convoy(services, reader);
    services.tails.convoys.set(convoy.#key, convoy);
    convoy.board(first);
    // A commit may have come since the reader looked and before this convoy was there to be told.
    convoy.#woken();
  }

  private constructor(services: Services, reader: TailReader) {
    this.#services = services;
    this.#reader = reader;
    this.#key = reader.key;
    this.#comment = { dueAt: 0, expire: () => this.#commentIsDue() };
    this.#checkpoint = { dueAt: 0, expire: () => void this.#run() };
    this.#leave = services.tails.join(reader.subject, () => this.#woken());
    this.#awaitComment();
  }

  board({ traveller, checkpointAt, commentAt }: Passenger): void {
    this.#members.add(traveller);
    traveller.joined(this);
    this.#comment.dueAt = Math.min(this.#comment.dueAt, commentAt);
    if (commentAt <= this.#services.world.monotonic()) this.#commentIsDue();
    if (this.#reader.untold(checkpointAt)) this.#woken();
  }

  /** The connection is gone. Idempotent. */
  alight(member: Traveller): void {
    this.#members.delete(member);
    if (this.#members.size === 0) this.#close();
  }

  #woken(): void {
    this.#moved = true;
    void this.#run();
  }

  /** Sends what there is. One at a time. Never throws. */
  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      while (await this.#step()) continue;
    } catch (thrown) {
      this.#finish({ over: refusalOf(thrown) });
    }
    this.#running = false;
    // What came while the last step was on its way back.
    if (this.#moved && !this.#over) void this.#run();
  }

  /** false: there is nothing to do until something happens. */
  async #step(): Promise<boolean> {
    if (this.#over) return false;
    if (this.#moved) this.#reader.wake();
    this.#moved = false;
    const ended = this.#reader.widen();
    if (ended !== null) return this.#finish(ended);
    // New partitions are a new place.
    this.#goTo(this.#reader.key);
    if (this.#over) return false;
    const found = await this.#reader.look();
    if (this.#over) return false;
    const taken = this.#reader.take(found);
    if (taken === "on") return true;
    if (taken === "idle") return this.#rest();
    if (taken === "passed") {
      this.#goTo(this.#reader.key);
      await new Promise<void>((resolve) => this.#services.world.defer(resolve));
      return true;
    }
    if ("over" in taken) return this.#finish(taken);
    this.#send(taken);
    return true;
  }

  #send(chunk: TailChunk): void {
    const { metrics, tails } = this.#services;
    let sent = 0;
    for (const member of this.#members) {
      if (member.offer(chunk.bytes)) {
        sent++;
      } else if (chunk.moved >= 0) {
        this.#members.delete(member);
        member.fellBehind(this.#reader.before(chunk));
      }
    }
    metrics.recordsTailed += chunk.records * sent;
    // Who has no room now comes back for it.
    if (chunk.records > 0) tails.remember(this.#key, chunk);
    if (sent > 0) this.#awaitComment();
    if (this.#members.size === 0) this.#close();
    else this.#goTo(this.#reader.key);
  }

  /** A convoy that already stands there takes everybody along. */
  #goTo(key: string): void {
    const { convoys } = this.#services.tails;
    if (key === this.#key) return;
    if (convoys.get(this.#key) === this) convoys.delete(this.#key);
    this.#key = key;
    const there = convoys.get(key);
    if (there === undefined) {
      convoys.set(key, this);
      return;
    }
    const { checkpointAt } = this.#reader;
    const commentAt = this.#comment.dueAt;
    for (const traveller of this.#members) there.board({ traveller, checkpointAt, commentAt });
    this.#members.clear();
    this.#close();
  }

  /** Sleeps until the topic moves, or a checkpoint is due. */
  #rest(): boolean {
    if (this.#moved) return true;
    const { deadlines } = this.#services;
    if (Number.isNaN(this.#reader.checkpointAt)) {
      deadlines.remove(this.#checkpoint);
    } else {
      this.#checkpoint.dueAt = this.#reader.checkpointAt;
      deadlines.add(this.#checkpoint);
    }
    return false;
  }

  /** The next comment is due a full interval after what was sent last. */
  #awaitComment(): void {
    const { deadlines, world } = this.#services;
    this.#comment.dueAt = world.monotonic() + tailTimes.commentMs;
    deadlines.add(this.#comment);
  }

  #commentIsDue(): void {
    for (const member of this.#members) member.comment(stillHere);
    this.#awaitComment();
  }

  #finish(end: TailEnd): false {
    const members = [...this.#members];
    this.#members.clear();
    this.#close();
    for (const member of members) member.finish(end);
    return false;
  }

  /** Idempotent. */
  #close(): void {
    if (this.#over) return;
    this.#over = true;
    const { deadlines, tails } = this.#services;
    if (tails.convoys.get(this.#key) === this) tails.convoys.delete(this.#key);
    deadlines.remove(this.#comment);
    deadlines.remove(this.#checkpoint);
    this.#leave();
  }
}
