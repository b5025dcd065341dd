// A group under a hostile world, from one seed: messages are lost, repeated, delayed and reordered, links are cut both
// ways or one way, nodes crash and lose what their disk had not written (a prefix of the queue may have made it),
// payloads are away for a while, leaders hand over, members come and go, logs are compacted.
//
// Checked after every event: the invariants of each participant (raft/invariants.ts), and between them:
//
//      election safety       a term has at most one leader
//      state machine safety  what anybody considers committed at an index is one entry, for good (log matching follows)
//      leader completeness   a new leader's log holds everything committed so far
//      linearizable reads    a read is not answered with less than was committed when it was asked
//
// and at the end, with the world healed: everybody converges and a new proposal commits.

import {
  appendThread,
  applyThread,
  checkState,
  checkTransition,
  hardStateOf,
  MemoryStorage,
  observe,
  RawNode,
  type Entry,
  type Message,
} from "../../raft/index.ts";
import { Random } from "../../raft/random.ts";
import {
  checkAdjacent,
  checkCandidate,
  checkDurable,
  checkedStep,
  checkElected,
  checkHonest,
} from "./sim-checks.ts";
import { SimNode, SimStorage } from "./sim-node.ts";

/** Messages that were delivered and may come once more, long after. */
const pastMax = 64;

export interface SimOptions {
  readonly seed: number;
  readonly events: number;
}

export class Simulation {
  readonly #random: Random;
  readonly #nodes = new Map<number, SimNode>();
  #network: Message<number>[] = [];
  readonly #past: Message<number>[] = [];
  /** Links that are cut, as "from>to". */
  readonly #cut = new Set<string>();
  /** term -> leader, negative for one that led alone. */
  readonly #leaders = new Map<number, number>();
  /** index -> the entry committed there. */
  readonly #committed = new Map<number, Entry<number>>();
  #lastCommitted = 1;
  #payload = 0;
  #starts = 0;
  readonly #preVote: boolean;
  readonly #checkQuorum: boolean;
  #lossPercent: number;
  readonly #stormPercent: number;
  readonly #hurryPercent: number;
  #lostSnapshots: Message<number>[] = [];
  readonly counts = { elections: 0, commits: 0, reads: 0, crashes: 0, changes: 0, snapshots: 0 };

  constructor(options: SimOptions) {
    this.#random = new Random(options.seed);
    this.#preVote = this.#chance(70);
    this.#checkQuorum = this.#chance(70);
    this.#lossPercent = this.#random.below(3) * 5;
    this.#stormPercent = 10 + this.#random.below(91);
    this.#hurryPercent = [0, 1, 3][this.#random.below(3)];
    const size = 3 + this.#random.below(3);
    const voters = Array.from(
      { length: Math.min(size, 3 + this.#random.below(3)) },
      (_, i) => i + 1,
    );
    const none: number[] = [];
    for (let id = 1; id <= size; id++) {
      const founding = voters.includes(id);
      const confState = {
        voters: founding ? voters : none,
        votersOutgoing: none,
        learners: none,
        learnersNext: none,
        autoLeave: false,
      };
      // A node that joins later starts with nothing at all.
      const start = founding
        ? { index: 1, term: 1, confState, sum: 0 }
        : { index: 0, term: 0, confState, sum: 0 };
      const node = new SimNode(id, new SimStorage(start, this.#random));
      this.#nodes.set(id, node);
      this.#start(node);
    }
  }

  run(events: number): void {
    for (let i = 0; i < events; i++) this.#event();
    this.#heal();
    this.#converge();
  }

  /** Everything that was committed, and what happened: equal for equal seeds. */
  fingerprint(): string {
    const entries = [...this.#committed.values()].map(({ index, term, data }) => [
      index,
      term,
      data,
    ]);
    return JSON.stringify([entries, [...this.#leaders], this.counts]);
  }

  #chance(percent: number): boolean {
    return this.#random.below(100) < percent;
  }

  #anyNode(): SimNode {
    return this.#nodes.get(1 + this.#random.below(this.#nodes.size))!;
  }

  /** One thing happens. Half of the time to a node that believes itself leader: perhaps one of several. The weights make
   *  crashes, changes and cuts rare beside messages and ticks. */
  #event(): void {
    if (this.#chance(this.#hurryPercent)) this.#rush();
    const at = this.#random.below(1000);
    const node = this.#chance(50) ? this.#anyNode() : (this.#anyLeader() ?? this.#anyNode());
    if (at < 440) this.#deliverAny();
    else if (at < 590) this.#write(node);
    else if (at < 670) this.#apply(node);
    else if (at < 770) this.#act(this.#anyNode(), (raft) => raft.tick());
    else if (at < 850) this.#propose(node);
    else if (at < 880) this.#read(node);
    else if (at < 930) this.#fetch(node);
    else if (at < 950) this.#startIfDown(node);
    else if (at < 954) this.#reportLost();
    else if (at < 956) this.#cut.clear();
    else if (at < 962) this.#compact(node);
    else if (at < 970) this.#change(node);
    else if (at < 977) this.#rush();
    else if (this.#chance(this.#stormPercent)) this.#disturb(at, node);
  }

  /** Time passes faster than messages are lost: enough for elections, also on one side of a split. */
  #rush(): void {
    const rounds = this.#random.below(12);
    for (let round = 0; round < rounds; round++) {
      for (const node of this.#nodes.values()) {
        if (this.#chance(70)) this.#act(node, (raft) => raft.tick());
      }
      for (let i = this.#random.below(4); i > 0; i--) this.#round();
      const leader = this.#anyLeader();
      if (leader === null) continue;
      this.#propose(leader);
      if (this.#chance(20)) this.#read(leader);
    }
  }

  #disturb(at: number, node: SimNode): void {
    if (at < 982) this.#crash(node);
    else if (at < 986) this.#stall(node);
    else if (at < 992) this.#split();
    else if (at < 997) this.#transfer(node);
    else this.#forget(node);
  }

  #anyLeader(): SimNode | null {
    const leaders = [...this.#nodes.values()].filter((each) => each.node?.core.role === "leader");
    return leaders.length === 0 ? null : leaders[this.#random.below(leaders.length)];
  }

  #start(node: SimNode): void {
    node.node = new RawNode<number>(
      {
        id: node.id,
        seed: ++this.#starts * 7919 + node.id,
        applied: node.storage.machine.index,
        electionTicks: 5,
        heartbeatTicks: 1,
        maxSizePerMessage: 64,
        maxCommittedBytesPerReady: 100,
        maxUncommittedBytes: 400,
        maxInflightMessages: 4,
        preVote: this.#preVote,
        checkQuorum: this.#checkQuorum,
        priority: node.id % 2,
      },
      node.storage,
    );
    node.seen = null;
    node.configuration = null;
    node.checkedTo = 0;
    this.#check(node);
  }

  /** Calls the participant if it is up, takes its Readies (mostly), and checks everything. */
  #act(node: SimNode, call: (raft: RawNode<number>) => void): void {
    if (node.node === null) return;
    call(node.node);
    this.#check(node);
    while (node.node.hasReady() && this.#chance(90)) this.#handleReady(node, node.node);
  }

  #handleReady(node: SimNode, raft: RawNode<number>): void {
    const ready = raft.ready();
    for (const { index, request } of ready.readStates) {
      const least = node.reads.get(request);
      if (least === undefined) continue;
      node.reads.delete(request);
      this.counts.reads++;
      if (index < least) throw new Error(`stale read: ${index} < ${least} on node ${node.id}`);
    }
    for (const message of ready.messages) {
      if (message.to === appendThread) node.appendQueue.push(message);
      else if (message.to === applyThread) node.applyQueue.push(message);
      else this.#send(message);
    }
    this.#check(node);
  }

  #send(message: Message<number>): void {
    if (message.type === "MsgSnap") this.counts.snapshots++;
    if (this.#cut.has(`${message.from}>${message.to}`) || this.#chance(this.#lossPercent)) {
      if (message.type === "MsgSnap") this.#lostSnapshots.push(message);
      return;
    }
    this.#network.push(message);
    if (this.#chance(5)) this.#network.push(message);
  }

  /** Any message under way, not the oldest: that is delay and reordering. */
  #deliverAny(): void {
    if (this.#past.length > 0 && this.#random.below(100) < 3) this.#replay();
    if (this.#network.length === 0) return;
    const at = this.#chance(60) ? 0 : this.#random.below(this.#network.length);
    const [message] = this.#network.splice(at, 1);
    this.#deliver(message);
  }

  /** Something old arrives again: a proxy, or a connection that was thought dead, had kept it. */
  #replay(): void {
    const message = this.#past[this.#random.below(this.#past.length)];
    const to = message === undefined ? undefined : this.#nodes.get(message.to);
    if (message !== undefined && to?.node != null) this.#step(to, message);
  }

  #step(to: SimNode, message: Message<number>): void {
    this.#act(to, (raft) => {
      checkHonest(this.#nodes, to, message);
      checkedStep(to, message, () => void raft.step(message));
    });
  }

  #deliver(message: Message<number>): void {
    const to = this.#nodes.get(message.to)!;
    const arrived = to.node !== null;
    this.#past[this.#random.below(pastMax)] = message;
    this.#step(to, message);
    if (message.type === "MsgSnap") this.#reportSnapshot(message, arrived ? "finished" : "failed");
  }

  #reportSnapshot(message: Message<number>, outcome: "finished" | "failed"): void {
    const from = this.#nodes.get(message.from)!;
    this.#act(from, (raft) => raft.reportSnapshot(message.to, outcome));
  }

  /** The sender of a snapshot finds out, some time, that it was lost. */
  #reportLost(): void {
    const lost = this.#lostSnapshots;
    this.#lostSnapshots = [];
    for (const message of lost) this.#reportSnapshot(message, "failed");
  }

  /** The disk finishes the oldest write. */
  #write(node: SimNode): void {
    if (node.stalledTurns > 0) {
      node.stalledTurns--;
      return;
    }
    const message = node.appendQueue.shift();
    if (message === undefined) return;
    this.#persist(node, message);
    this.#act(node, () => undefined);
    for (const response of message.responses) {
      if (response.to === node.id) this.#step(node, response);
      else this.#send(response);
    }
  }

  #persist(node: SimNode, message: Message<number>): void {
    if (message.snapshot !== null) node.storage.install(message.snapshot);
    node.storage.append(message.entries);
    node.storage.hardState = hardStateOf(message) ?? node.storage.hardState;
  }

  #apply(node: SimNode): void {
    const message = node.applyQueue.shift();
    if (message === undefined) return;
    this.#act(node, (raft) => {
      for (const entry of message.entries) {
        const { index, confState, sum } = node.storage.machine;
        // A snapshot that was installed meanwhile holds it already.
        if (entry.index <= index) continue;
        const changed = entry.change === null ? confState : raft.applyConfChange(entry);
        if (changed === null) break;
        this.#checkChanges(node, observe(raft));
        node.storage.machine = {
          index: entry.index,
          term: entry.term,
          confState: changed,
          sum: (Math.imul(sum, 31) + (entry.data ?? 7)) | 0,
        };
      }
      for (const response of message.responses) raft.step(response);
    });
  }

  #propose(node: SimNode): void {
    // Now and then many: an isolated leader's tail must be worth cutting.
    for (let left = this.#chance(15) ? this.#random.below(12) : 0; left >= 0; left -= 1) {
      this.#act(node, (raft) => void raft.propose(++this.#payload, this.#random.below(40)));
    }
  }

  #read(node: SimNode): void {
    const least = this.#lastCommitted;
    this.#act(node, (raft) => {
      const asked = raft.readIndex();
      if (asked.ok) node.reads.set(asked.request, least);
    });
  }

  #fetch(node: SimNode): void {
    for (const to of node.storage.fetching) {
      node.storage.fetch(to);
      this.#act(node, (raft) => raft.entriesFetched(to));
    }
  }

  /** A crash loses the memory and the end of the write queue; what reached the disk was never answered for. */
  #crash(node: SimNode): void {
    if (node.node === null) return;
    this.counts.crashes++;
    const written = this.#random.below(node.appendQueue.length + 1);
    for (const message of node.appendQueue.slice(0, written)) this.#persist(node, message);
    node.node = null;
    node.appendQueue = [];
    node.applyQueue = [];
    node.reads.clear();
    node.storage.fetching.clear();
  }

  #startIfDown(node: SimNode): void {
    if (node.node === null) this.#start(node);
  }

  /** The network falls into two parts, in one direction at least. */
  #split(): void {
    const side = new Map([...this.#nodes.keys()].map((id) => [id, this.#chance(50)]));
    const bothWays = this.#chance(70);
    for (const [a, left] of side) {
      for (const [b, alsoLeft] of side) {
        if (left !== alsoLeft && (bothWays || left)) this.#cut.add(`${a}>${b}`);
      }
    }
    const one = this.#anyNode();
    this.#act(one, (raft) => raft.reportUnreachable(this.#anyNode().id));
  }

  /** The disk writes nothing for the next so many turns. */
  #stall(node: SimNode): void {
    node.stalledTurns = this.#random.below(60);
  }

  #transfer(node: SimNode): void {
    this.#act(node, (raft) => raft.transferLeader(this.#anyNode().id));
  }

  #forget(node: SimNode): void {
    this.#act(node, (raft) => raft.forgetLeader());
  }

  /** Random steps, some of them senseless: they are refused. While joint, half of the time leave it. */
  #change(node: SimNode): void {
    const leader = this.#anyLeader() ?? node;
    const types = ["addVoter", "addVoter", "addVoter", "addLearner", "remove"] as const;
    const steps = Array.from({ length: 1 + this.#random.below(3) }, () => ({
      type: types[this.#random.below(types.length)],
      id: this.#anyNode().id,
    }));
    if (leader.node?.core.tracker.isJoint() === true && this.#chance(50)) steps.length = 0;
    const transition =
      steps.length === 0
        ? "auto"
        : (["auto", "implicit", "explicit"] as const)[this.#random.below(3)];
    this.#act(leader, (raft) => {
      if (raft.proposeConfChange({ transition, steps }).ok) this.counts.changes++;
    });
  }

  #compact(node: SimNode): void {
    const { storage } = node;
    const to = storage.machine.index - this.#random.below(5);
    if (to >= storage.firstIndex()) storage.compact(to);
  }

  #check(node: SimNode): void {
    const raft = node.node!;
    checkState(raft);
    const now = observe(raft);
    if (node.seen !== null) checkTransition(node.seen, now);
    this.#checkChanges(node, now);
    const becameLeader = now.role === "leader" && node.seen?.role !== "leader";
    node.seen = now;
    if (becameLeader) this.#checkLeader(node, now.term);
    this.#checkCommitted(node, now.committed);
  }

  #checkChanges(node: SimNode, now: NonNullable<SimNode["seen"]>): void {
    const { core } = node.node!;
    const { configuration } = core.tracker;
    if (node.configuration !== null && core.restoredIndex === node.restored) {
      if (configuration !== node.configuration) checkAdjacent(node.configuration, configuration);
    }
    node.configuration = configuration;
    node.restored = core.restoredIndex;
    if (node.seen === null) return;
    const stands = now.role === "candidate" && node.seen.role !== "candidate";
    if (stands) checkCandidate(node, (index) => this.#entryAt(node, index));
    if (now.role === "leader" && node.seen.role !== "leader") checkElected(this.#nodes, node);
    if (now.role === "leader" && now.committed > node.seen.committed) {
      checkDurable(this.#nodes, node);
    }
  }

  #checkLeader(node: SimNode, term: number): void {
    this.counts.elections++;
    const other = this.#leaders.get(term);
    // An only member that forgot, in a crash, a term which nobody else had heard of may lead it again.
    const alone = node.node!.core.tracker.ids.length === 1;
    if (other !== undefined && !(alone && other === -node.id)) {
      throw new Error(`term ${term} has leaders ${Math.abs(other)} and ${node.id}`);
    }
    this.#leaders.set(term, alone ? -node.id : node.id);
    const { log } = node.node!.core;
    // One that heard late of its election: those of later terms have committed without it.
    if (Math.max(...this.#leaders.keys()) > term) return;
    for (let index = log.firstIndex(); index <= this.#lastCommitted; index++) {
      const wanted = this.#committed.get(index);
      if (wanted !== undefined && log.term(index) !== wanted.term) {
        throw new Error(
          `leader ${node.id} of term ${term} holds term ${log.term(index)} at ${index}, committed is ${wanted.term}`,
        );
      }
    }
  }

  /** Each index has one committed entry for all participants and all times. */
  #checkCommitted(node: SimNode, committed: number): void {
    const { log } = node.node!.core;
    for (let index = Math.max(node.checkedTo + 1, log.firstIndex()); index <= committed; index++) {
      const entry = this.#entryAt(node, index);
      if (entry === null) continue;
      const known = this.#committed.get(index);
      if (known === undefined) {
        this.#committed.set(index, entry);
        this.counts.commits++;
      } else if (known.term !== entry.term || known.data !== entry.data) {
        throw new Error(
          `node ${node.id} has ${entry.term}/${index} ${entry.data}, committed is ${known.term}/${index} ${known.data}`,
        );
      }
    }
    node.checkedTo = committed;
    this.#lastCommitted = Math.max(this.#lastCommitted, committed);
  }

  #entryAt(node: SimNode, index: number): Entry<number> | null {
    const { unstable } = node.node!.core.log;
    if (index >= unstable.offset) return unstable.entries[index - unstable.offset];
    const found = MemoryStorage.prototype.entries.call(node.storage, index, index + 1, 1);
    return typeof found === "string" ? null : (found[0] as Entry<number>);
  }

  /** From here on nothing is lost, everybody is up, and nobody interferes. */
  #heal(): void {
    this.#cut.clear();
    this.#lossPercent = 0;
    this.#reportLost();
    for (const node of this.#nodes.values()) {
      node.stalledTurns = 0;
      this.#startIfDown(node);
    }
  }

  /** Members agree on the log's end, with all of it applied, after a bounded number of rounds. */
  #converge(): void {
    let taken = false;
    for (let round = 0; round < 400; round++) {
      for (const node of this.#nodes.values()) this.#act(node, (raft) => raft.tick());
      this.#settle();
      const leader = this.#leaderNow();
      if (leader === null) continue;
      if (round % 20 === 19) {
        this.#act(leader, (raft) => void (taken = raft.propose(++this.#payload, 1).ok));
      }
      if (round > 40 && taken && this.#agreeing(leader)) return;
    }
    throw new Error(`no agreement after healing: ${this.#summary()}`);
  }

  #settle(): void {
    for (let i = 0; i < 20; i++) this.#round();
  }

  /** Everybody does all that there is to do, disks that stall excepted. */
  #round(): void {
    for (const node of this.#nodes.values()) {
      this.#fetch(node);
      while (node.appendQueue.length > 0 && node.stalledTurns <= 0) this.#write(node);
      if (node.stalledTurns > 0) node.stalledTurns--;
      while (node.applyQueue.length > 0) this.#apply(node);
      this.#act(node, () => undefined);
    }
    const messages = this.#network;
    this.#network = [];
    for (const message of messages) this.#deliver(message);
  }

  #leaderNow(): SimNode | null {
    const leaders = [...this.#nodes.values()].filter((each) => each.node?.core.role === "leader");
    leaders.sort((a, b) => b.node!.core.term - a.node!.core.term);
    return leaders[0] ?? null;
  }

  #agreeing(leader: SimNode): boolean {
    const { core } = leader.node!;
    const { machine } = leader.storage;
    if (machine.index !== core.log.lastIndex() || !core.committedInTerm()) return false;
    // A joint configuration that is to be left by itself has been.
    if (core.tracker.configuration.autoLeave) return false;
    return core.tracker.ids.every((id) => {
      const other = this.#nodes.get(id)!.storage.machine;
      return other.index === machine.index && other.sum === machine.sum;
    });
  }

  #summary(): string {
    return [...this.#nodes.values()]
      .map(({ id, node, storage }) => {
        const { role, term, log, tracker, lead } = node!.core;
        const members = tracker.ids.join(",");
        return `${id}: ${role} of ${term} (leader ${lead}), last ${log.lastIndex()}, committed ${log.committed}, applied ${storage.machine.index}, members ${members}`;
      })
      .join("; ");
  }
}
