// What must hold between the participants of one group at every moment (Raft's own theorems, over the whole history).
//
//   election safety       a term has one leader                    leader append-only   a leader never cuts its own log
//   leader completeness   a new leader has all that is committed   durable quorum       committed: on a majority of disks
//   honest answers        a vote or an acknowledgement that is received is on its sender's disk
//   one identity          an identity never moves to another disk   configurations      adjacent ones intersect
//
// Promise: each is checked when a core's call returns, at a cost that does not grow with the log. Log matching, votes and
// terms on disk are durable-log.ts's, contents committed-log.ts's. Left to others: when to look (watch-core.ts).

import { observe, type Configuration, type Message, type RawNode } from "../../../raft/index.ts";
import type { Payload } from "../../../src/consensus/payload.ts";
import { everyPairMeets } from "../../raft/sim-checks.ts";
import { CommittedLog } from "./committed-log.ts";
import { DurableLog, EntryIdentities } from "./durable-log.ts";
import { Violation } from "./violation.ts";

export type Core = RawNode<Payload>;
type Observed = ReturnType<typeof observe>;

export class GroupInvariants {
  readonly groupId: string;
  readonly log: CommittedLog;
  elections = 0;
  changes = 0;
  #highestTerm = 0;
  readonly #identities = new EntryIdentities();
  /** By Raft id. */
  readonly #disks = new Map<number, DurableLog>();
  /** By term; negative for one that led alone. */
  readonly #leaders = new Map<number, number>();

  constructor(groupId: string) {
    this.groupId = groupId;
    this.log = new CommittedLog(groupId);
  }

  /** The disk of a replica; an identity that shows up on another disk than before is a violation. */
  disk(raftId: number, lineage: number): DurableLog {
    const who = `${this.groupId} #${raftId}`;
    const known = this.#disks.get(raftId);
    if (known === undefined) {
      const disk = new DurableLog(who, lineage, this.#identities);
      this.#disks.set(raftId, disk);
      return disk;
    }
    if (known.lineage !== lineage) {
      throw new Violation(
        "one identity",
        `${who} lives on disk ${lineage}, was on ${known.lineage}`,
      );
    }
    return known;
  }

  became(raw: Core, before: Observed | null, now: Observed): void {
    if (now.role === "leader" && before?.role !== "leader") this.#elected(raw, now);
    const from = before?.committed ?? now.committed;
    if (now.committed > from) this.#committed(raw, { from, to: now.committed });
  }

  /** `last` and its term, before and after something that this leader did within one term. */
  appendOnly(raw: Core, last: { readonly index: number; readonly term: number | null }): void {
    const { log, id, term } = raw.core;
    if (log.lastIndex() < last.index || log.term(last.index) !== last.term) {
      const detail = `leader ${id} of term ${term} in ${this.groupId} cut its log at ${last.index}`;
      throw new Violation("leader append-only", detail);
    }
  }

  /** Before a core takes it. */
  received(message: Message<Payload>): void {
    const { type, reject, from, to, term, index } = message;
    const disk = this.#disks.get(from);
    if (disk === undefined || reject) return;
    if (type === "MsgVoteResp") {
      const stands = disk.term > term || (disk.term === term && disk.vote === to);
      if (stands) return;
      const detail = `${disk.who} granted ${to} its vote in term ${term}; its disk says ${disk.vote} in ${disk.term}`;
      throw new Violation("honest answers", detail);
    }
    if (type !== "MsgAppResp" || disk.term > term) return;
    if (disk.term < term) {
      const detail = `${disk.who} acknowledged ${index} in term ${term}; its disk knows term ${disk.term}`;
      throw new Violation("honest answers", detail);
    }
    if (index <= disk.lastIndex) return;
    const detail = `${disk.who} acknowledged ${index} in term ${term}; its disk ends at ${disk.lastIndex}`;
    throw new Violation("honest answers", detail);
  }

  reconfigured(raw: Core, before: Configuration, now: Configuration): void {
    this.changes += 1;
    const lists = [before.voters, now.voters].map((v) => [v.incoming, v.outgoing]);
    if (lists[0][0].length === 0 || everyPairMeets(lists[0], lists[1])) return;
    const detail = `${this.groupId} on ${raw.core.id}: ${JSON.stringify(lists[0])} to ${JSON.stringify(lists[1])}`;
    throw new Violation("configurations", detail);
  }

  #elected(raw: Core, { term }: Observed): void {
    const { id, log, tracker } = raw.core;
    this.elections += 1;
    const other = this.#leaders.get(term);
    // An only member that forgot, in a crash, a term which nobody else had heard of may lead it again.
    const alone = tracker.ids.length === 1;
    if (other !== undefined && !(alone && other === -id)) {
      const detail = `term ${term} of ${this.groupId} has leaders ${Math.abs(other)} and ${id}`;
      throw new Violation("election safety", detail);
    }
    this.#leaders.set(term, alone ? -id : id);
    if (!alone) this.#checkVotes(raw);
    // One that slept hears late that it was elected: those of later terms have committed without it.
    if (this.#highestTerm > term) return;
    this.#highestTerm = term;
    const { last } = this.log;
    const found = last > log.lastIndex() ? "nothing" : log.term(last);
    if (last >= log.firstIndex() - 1 && found !== this.log.termAt(last)) {
      const detail = `leader ${id} of term ${term} in ${this.groupId} holds ${found} at ${last}, committed is term ${this.log.termAt(last)}`;
      throw new Violation("leader completeness", detail);
    }
  }

  /** Votes that elect are on disks, the leader's own among them. */
  #checkVotes(raw: Core): void {
    const { id, term, tracker } = raw.core;
    const voted = (voter: number): boolean => {
      const disk = this.#disks.get(voter);
      return disk !== undefined && (disk.term > term || (disk.term === term && disk.vote === id));
    };
    const { incoming, outgoing } = tracker.configuration.voters;
    for (const half of [incoming, outgoing]) {
      const have = half.filter(voted);
      if (voted(id) && (half.length === 0 || 2 * have.length > half.length)) continue;
      const detail = `${id} leads ${this.groupId} in term ${term}; of ${half.join()} only ${have.join() || "none"} voted so on disk`;
      throw new Violation("durable votes", detail);
    }
  }

  #committed(raw: Core, range: { readonly from: number; readonly to: number }): void {
    const { id, log, role } = raw.core;
    const who = `#${id}`;
    for (let index = range.from + 1; index <= range.to; index += 1) {
      const term = index < log.firstIndex() - 1 ? null : log.term(index);
      if (term !== null) this.log.committed(who, index, term);
    }
    if (role === "leader") this.#checkQuorum(raw, range.to);
  }

  /** Only the newest need be looked at: a disk that has it has all before it. */
  #checkQuorum(raw: Core, index: number): void {
    const { core } = raw;
    const term = core.log.term(index);
    const { incoming, outgoing } = core.tracker.configuration.voters;
    for (const half of [incoming, outgoing]) {
      const have = half.filter((id) => this.#disks.get(id)?.termAt(index) === term);
      if (half.length === 0 || 2 * have.length > half.length) continue;
      const detail = `leader ${core.id} commits ${index} of ${this.groupId}; of ${half.join(",")} only ${have.join(",") || "none"} have it on disk`;
      throw new Violation("durable quorum", detail);
    }
  }
}
