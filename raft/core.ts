// The state of one Raft participant, and the two ways in which its messages leave.
//
// Every rule of Raft lives in a file named after its question (election, replication, reads, membership, snapshots);
// each is a set of functions over this one object, so that the whole state is in one place for a reader, a checker
// (invariants.ts) and a debugger. Those files import downwards only:
//
//      step -> snapshots -> membership -> proposals, election -> replication -> reads -> sending -> core
//
// Promise: send() keeps back what rests on state that is not durable yet. Left to others: everything that decides.

import { bug } from "./bug.ts";
import type { Base } from "./confchange.ts";
import { settingsOf, type Settings } from "./config.ts";
import { Log } from "./log.ts";
import { messageTypes, newMessage, type Draft } from "./message.ts";
import { Random } from "./random.ts";
import { ReadRequests } from "./read-requests.ts";
import { Tracker } from "./tracker.ts";
import type {
  Config,
  HardState,
  Message,
  MessageType,
  NodeId,
  ReadState,
  Role,
  Storage,
} from "./types.ts";

export class Core<P> {
  readonly id: NodeId;
  readonly settings: Settings<P>;
  readonly log: Log<P>;
  readonly tracker: Tracker;
  readonly random: Random;

  /** Never falls. */
  term = 0;
  /** Never changes within a term once set. */
  vote: NodeId = 0;
  role: Role = "follower";
  /** The leader of `term` as far as it is known. */
  lead: NodeId = 0;
  isLearner = false;

  /** Who is being handed the leadership; 0 when nobody is. Proposals wait meanwhile. */
  leadTransferee: NodeId = 0;
  /** Leader: no further change of configuration is taken before this index is applied. */
  pendingConfIndex = 0;
  /** Index of the last snapshot taken over; entries up to it may still be with the state machine. */
  restoredIndex = 0;
  /** Leader: payload bytes proposed and not yet applied. May underestimate, never over. */
  uncommittedBytes = 0;

  /** Ticks since the last election timeout, or (follower) since the leader was heard. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  /** In [electionTicks, 2 * electionTicks), drawn anew at each change of role. */
  randomizedElectionTicks = 0;
  /** Candidates refused for their priority since a leader was last heard. */
  priorityRefusals = 0;

  /** May leave at once. Never addressed to this node. */
  messages: Message<P>[] = [];
  /** Must wait until everything unstable is durable: votes and acknowledgements, also those to this node itself. */
  messagesAfterAppend: Message<P>[] = [];

  readonly reads: ReadRequests<P>;
  readStates: ReadState[] = [];

  constructor(config: Config<P>, storage: Storage<P>) {
    this.settings = settingsOf(config);
    this.id = config.id;
    this.random = new Random(config.seed);
    this.reads = new ReadRequests(config.seed);
    this.log = new Log(storage, {
      maxApplyingBytes: this.settings.maxCommittedBytesPerReady,
      applyUnstable: !this.settings.asyncStorageWrites,
    });
    this.tracker = new Tracker({
      maxMessages: this.settings.maxInflightMessages,
      maxBytes: this.settings.maxInflightBytes,
    });
  }

  hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  /** A commit index beyond the log means that acknowledged entries were lost: halt, never clamp. One that lies below
   *  what is compacted or applied is merely old: it is stored lazily, and both were committed. */
  recover(state: HardState | null): void {
    const { log, settings } = this;
    const committed = Math.max(state?.commit ?? 0, settings.applied, log.committed);
    const last = log.lastIndex();
    if (committed > last) {
      bug(
        `Cannot recover: committed ${state?.commit ?? 0}, applied ${settings.applied}, but the log ends at ${last}`,
      );
    }
    log.committed = committed;
    this.term = state?.term ?? 0;
    this.vote = state?.vote ?? 0;
    if (settings.applied > log.applied) log.appliedTo(settings.applied, 0);
  }

  /** This node may become a leader: a voter, with no snapshot being installed. */
  promotable(): boolean {
    const progress = this.tracker.progress(this.id);
    return progress !== undefined && !progress.isLearner && this.log.unstable.snapshot === null;
  }

  /** A leader's entry of its own term is committed: only then is its commit index known to be current. */
  committedInTerm(): boolean {
    return this.log.term(this.log.committed) === this.term;
  }

  /** What the next change of configuration starts from. */
  configurationBase(): Base {
    const { configuration, members, window } = this.tracker;
    return { configuration, members, window, lastIndex: this.log.lastIndex() };
  }

  draft(type: MessageType, to: NodeId): Draft<P> {
    return newMessage<P>(type, to, this.id);
  }

  /** Queues a message of the present term. */
  send(message: Draft<P>): void {
    message.term = this.term;
    this.sendAsIs(message);
  }

  /** Queues a message that carries its own term (votes), or none (forwarded proposals and reads). */
  sendAsIs(message: Message<P>): void {
    if (messageTypes[message.type].afterAppend) {
      this.messagesAfterAppend.push(message);
      return;
    }
    if (message.to === this.id) bug(`Cannot send ${message.type} to oneself`);
    this.messages.push(message);
  }
}
