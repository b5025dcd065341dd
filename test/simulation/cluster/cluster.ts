// A whole cluster in virtual time on one seed: the real core, host, journal and partitions of every node, over a network
// and disks that fail, under clients that check what they hear.
//
//   [ load: clients and faults ] -> [ heal: nothing is wrong any more ] -> [ everybody agrees ] -> [ whole logs compared ]
//
// Promise: a seed replays exactly (the hash of its trace says so). After every event: the invariants of group-invariants,
// durable-log, committed-log and node.check(). After healing, within bounded virtual time: a leader in each group,
// members as placed, no joint configuration, all logs equal, every client answered. Left to others: see each part.

import { MemoryNetwork } from "../../../src/transport/memory-network.ts";
import type { Partition } from "../../../src/partition/partition.ts";
import { recordsIn } from "../../partition/batches.ts";
import { Client } from "./client.ts";
import { GroupInvariants } from "./group-invariants.ts";
import { History } from "./history.ts";
import { Nemesis } from "./nemesis.ts";
import { NodeDisk } from "./node-disk.ts";
import { SimulatedNode, type Group } from "./node.ts";
import { Placement } from "./placement.ts";
import { Stream } from "./random.ts";
import { scenarioOf, type FaultKind, type Scenario } from "./scenario.ts";
import { ProcessWorld, VirtualTime } from "./virtual-time.ts";
import { tellViolations, Violation } from "./violation.ts";

/** The longest that a healed cluster may take to settle. */
const healMsMax = 60_000;
const reconcileEveryMs = 200;
/** The longest that one answer of a healed cluster may take. */
const waitMsMax = 20_000;

export interface ClusterResult {
  readonly seed: number;
  readonly virtualMs: number;
  readonly steps: number;
  readonly acknowledged: number;
  readonly reads: number;
  readonly elections: number;
  readonly changes: number;
  readonly crashes: number;
  readonly faults: ReadonlyMap<FaultKind, number>;
  /** From the end of the faults until everybody agreed, virtual ms. */
  readonly healedMs: number;
  /** Over the trace. */
  readonly hash: string;
}

export interface ClusterOptions {
  readonly seed: number;
  /** Virtual ms under load; left out: as the seed says. */
  readonly loadMs?: number;
  /** In place of those that the seed enables. */
  readonly faults?: readonly FaultKind[];
  /** Longest rest of a client between two operations; left out: as the seed says. */
  readonly restMsMax?: number;
  readonly onTrace?: (line: string) => void;
}

/** Runs one seed. Throws with the seed in the message when something does not hold. */
export function simulateCluster(options: ClusterOptions): ClusterResult {
  try {
    return new Cluster(options).run();
  } catch (error) {
    throw new Error(`Seed ${options.seed}: ${String(error)}`, { cause: error });
  }
}

export class Cluster {
  readonly scenario: Scenario;
  readonly time = new VirtualTime();
  readonly network: MemoryNetwork;
  readonly nodes = new Map<number, SimulatedNode>();
  readonly groups = new Map<string, Group>();
  readonly #histories: History[] = [];
  readonly #clients: Client[] = [];
  readonly #nemesis: Nemesis;
  readonly #onTrace: ((line: string) => void) | undefined;
  #hash = 0;
  #failure: { readonly error: unknown } | null = null;
  #crashes = 0;
  #damaged = false;
  #healing = false;
  /** Groups that have not taken an append since the healing. */
  #lastAppends = 0;
  #lineages = 0;
  #nextNode = 1;

  constructor(options: ClusterOptions) {
    const { seed, loadMs, faults, restMsMax, onTrace } = options;
    this.scenario = scenarioOf({
      seed,
      ...(loadMs && { loadMs }),
      ...(faults && { only: faults }),
      ...(restMsMax && { restMsMax }),
    });
    this.#onTrace = onTrace;
    const world = new ProcessWorld(this.time, this.#stream("network"));
    this.network = new MemoryNetwork(world, { delay: this.scenario.delay });
    this.#nemesis = new Nemesis(this, this.#stream("faults"));
    for (let i = 0; i < this.scenario.nodes; i += 1) this.#addNode();
    this.#addGroups();
    tellViolations((error) => this.#fail(error));
    this.time.afterStep = () => this.#check();
  }

  run(): ClusterResult {
    this.trace(JSON.stringify(this.scenario));
    for (const node of this.nodes.values()) node.start();
    this.#reconcileAgain();
    this.#startClients();
    this.#nemesis.start();
    this.time.run(this.scenario.loadMs);
    const healedMs = this.#heal();
    // Damage that shows when it is read makes a replica be replaced: once more, then.
    while (!this.#checkLogs()) this.#settle();
    return this.#result(healedMs);
  }

  trace(line: string): void {
    const stamped = `${this.time.now.toFixed(3)} ${line}`;
    this.#hash = Bun.hash.xxHash32(stamped, this.#hash);
    this.#onTrace?.(stamped);
  }

  crash(node: SimulatedNode, how: "process" | "power"): void {
    if (!node.up) return;
    this.#crashes += 1;
    this.trace(`n${node.id} crashes (${how})`);
    node.crash(how);
  }

  leads(node: SimulatedNode): boolean {
    return [...this.groups.keys()].some((groupId) => node.replica(groupId)?.role.leader === true);
  }

  /** Every group has its members as placed, all of them with everything: one may be lost. */
  settled(): boolean {
    return [...this.groups.keys()].every((groupId) => this.#unsettled(groupId) === null);
  }

  /** A node's rows are damaged, and perhaps nobody knows yet: no more may be lost for good. */
  get damaged(): boolean {
    return this.#damaged;
  }

  /** Where others have the same records. */
  flip(node: SimulatedNode): boolean {
    if (!this.#canDoWithout(node) || this.#damaged || !node.disk.flip()) return false;
    this.#damaged = true;
    return true;
  }

  /** The node and its disk are gone; another node, with nothing, takes its places. Where others have the same records. */
  replace(node: SimulatedNode): boolean {
    if (!this.#canDoWithout(node)) return false;
    this.crash(node, "power");
    this.nodes.delete(node.id);
    const added = this.#addNode();
    this.trace(`n${added.id} replaces n${node.id}`);
    for (const { placement } of this.groups.values()) {
      const voters = placement.target.voters.map((voter) => voter.nodeId);
      if (!voters.includes(node.id)) continue;
      placement.aim(voters.map((id) => (id === node.id ? added.id : id)));
    }
    added.start();
    for (const other of this.nodes.values()) other.peersChanged();
    return true;
  }

  /** Of one or two voters none can be lost for good: the others are no majority, and no change can be made without one. */
  #canDoWithout(node: SimulatedNode): boolean {
    return [...this.groups.values()].every(({ placement }) => {
      const { voters } = placement.target;
      return voters.length >= 3 || voters.every((voter) => voter.nodeId !== node.id);
    });
  }

  #stream(concern: string): Stream {
    return new Stream(this.scenario.seed, concern);
  }

  #addNode(): SimulatedNode {
    const { time, network, scenario } = this;
    const id = this.#nextNode++;
    this.#lineages += 1;
    const clocks = this.#stream(`clock ${id}`);
    const { clockOffsetMsMax, clockDriftMax, diskSlowness, fileRowsMax, cacheBytesMax } = scenario;
    const disk = new NodeDisk(
      { lineage: this.#lineages, time, random: this.#stream(`disk ${id}`) },
      { slowness: diskSlowness, fileRowsMax, cacheBytesMax },
    );
    const node = new SimulatedNode(id, {
      time,
      network,
      disk,
      random: this.#stream(`node ${id}`),
      clock: {
        offsetMs: clocks.between(-clockOffsetMsMax, clockOffsetMsMax),
        rate: 1 + (clocks.next() * 2 - 1) * clockDriftMax,
      },
      groups: this.groups,
      nodeIds: () => [...this.nodes.keys()],
      trace: (line) => this.trace(line),
      fail: (error) => this.#fail(error),
    });
    this.nodes.set(id, node);
    return node;
  }

  #addGroups(): void {
    const draw = this.#stream("groups");
    const ids = [...this.nodes.keys()];
    for (let group = 0; group < this.scenario.groups; group += 1) {
      const groupId = `topic/${group}`;
      const size = Math.min(ids.length, ids.length === 5 && draw.chance(0.5) ? 5 : 3);
      const first = draw.below(ids.length);
      const members = Array.from({ length: size }, (_, i) => ids[(first + i) % ids.length]);
      const placement = new Placement(
        groupId,
        members.sort((a, b) => a - b),
      );
      this.groups.set(groupId, { placement, invariants: new GroupInvariants(groupId) });
      this.#histories.push(new History(groupId));
    }
  }

  #startClients(): void {
    for (let id = 0; id < this.scenario.clients; id += 1) {
      const client = this.#client(id);
      this.#clients.push(client);
      client.run().catch((error: unknown) => this.#fail(error));
    }
  }

  #client(id: number): Client {
    const { time, nodes, scenario } = this;
    const random = this.#stream(`client ${id}`);
    const trace = (line: string): void => this.trace(line);
    const histories = this.#histories;
    return new Client({ time, random, nodes, histories, restMsMax: scenario.restMsMax, trace }, id);
  }

  #reconcileAgain(): void {
    for (const node of this.nodes.values()) {
      node.reconcile();
      // Only a restart helps a disk that failed.
      if (node.up && !node.paused && node.disk.failed) {
        this.crash(node, "process");
        this.time.after(200, () => node.start());
      } else if (!node.up && this.#healing) node.start();
    }
    this.time.after(reconcileEveryMs, () => this.#reconcileAgain());
  }

  #heal(): number {
    const began = this.time.now;
    this.#healing = true;
    this.trace("heal");
    this.#nemesis.end();
    for (const client of this.#clients) client.stop();
    this.#startLastAppends();
    this.#settle();
    return this.time.now - began;
  }

  #settle(): void {
    let looked = -1;
    let problem: string | null = "nobody looked";
    const done = (): boolean => {
      // Looking costs; nothing changes within 20 ms.
      if (this.time.now < looked + 20) return false;
      looked = this.time.now;
      problem = this.#problem();
      return problem === null;
    };
    if (!this.time.runUntil(done, healMsMax)) {
      throw new Violation(
        "liveness",
        `${healMsMax} ms after healing: ${problem}; ${this.#summary()}`,
      );
    }
  }

  #problem(): string | null {
    if (this.#clients.some((client) => !client.idle)) return "a client is not answered";
    if (this.#lastAppends > 0) return `${this.#lastAppends} groups take no append`;
    for (const groupId of this.groups.keys()) {
      const problem = this.#unsettled(groupId);
      if (problem !== null) return `${groupId}: ${problem}`;
    }
    return null;
  }

  #unsettled(groupId: string): string | null {
    const { target } = this.groups.get(groupId)!.placement;
    const replicas = target.voters.map(({ nodeId }) => this.nodes.get(nodeId)?.replica(groupId));
    const leader = replicas.find((replica) => replica?.role.leader === true);
    if (leader == null) return "nobody leads";
    const { members, lastIndex } = leader;
    if (members.joint) return "the configuration is joint";
    const have = members.voters.map(({ nodeId, incarnation }) => `${nodeId}.${incarnation}`).sort();
    const want = target.voters.map(({ nodeId, incarnation }) => `${nodeId}.${incarnation}`).sort();
    if (have.join() !== want.join() || members.learners.length > 0)
      return `members are ${have.join()}, wanted ${want.join()}`;
    const behind = replicas.findIndex((replica) => replica?.commitIndex !== lastIndex);
    return behind < 0 ? null : `node ${target.voters[behind].nodeId} is behind`;
  }

  /** The log of every replica, whole, against what clients saw, and against each other's. False: one was found to be
   *  damaged. */
  #checkLogs(): boolean {
    for (const history of this.#histories) {
      const { placement } = this.groups.get(history.groupId)!;
      for (const { nodeId } of placement.target.voters) {
        const partition = this.nodes.get(nodeId)?.partition(history.groupId);
        if (partition == null)
          throw new Violation("liveness", `node ${nodeId} has no ${history.groupId}`);
        if (!this.#caughtUp(nodeId, history.groupId)) {
          this.time.run(reconcileEveryMs * 2);
          return false;
        }
        const { logStartOffset, highWatermark } = partition.bounds();
        const records = this.#wait(readAll(partition, { logStartOffset, highWatermark }));
        if (records === "damaged" && this.#damaged) {
          this.time.run(reconcileEveryMs * 2);
          return false;
        }
        if (records === "damaged") throw new Violation("unreadable", `node ${nodeId} is damaged`);
        const who = `${history.groupId} on node ${nodeId}`;
        history.checkLog({ who, logStartOffset, highWatermark, records });
      }
    }
    return true;
  }

  /** What is committed need not be applied: a follower may still read its fold, or rest until somebody asks. Behind a
   *  barrier it is, and with it the log start. False: it cannot, for it is damaged. */
  #caughtUp(nodeId: number, groupId: string): boolean {
    const replica = this.nodes.get(nodeId)!.replica(groupId)!;
    const passed = this.#wait(replica.readBarrier(waitMsMax / 2));
    if (passed.ok) return true;
    if (passed.code === "storage_damaged" && this.#damaged) return false;
    throw new Violation("liveness", `${groupId} on node ${nodeId}: no barrier: ${passed.detail}`);
  }

  /** The cluster works: each group takes another append. */
  #startLastAppends(): void {
    const client = this.#client(this.scenario.clients);
    for (let group = 0; group < this.scenario.groups; group += 1) {
      this.#lastAppends += 1;
      client.mustAppend(group, healMsMax).then(
        (done) => void (this.#lastAppends -= done ? 1 : 0),
        (error: unknown) => this.#fail(error),
      );
    }
  }

  #wait<T>(promise: Promise<T>): T {
    let outcome:
      | { readonly ok: true; readonly value: T }
      | { readonly ok: false; readonly error: unknown }
      | null = null;
    promise.then(
      (value) => (outcome = { ok: true, value }),
      (error: unknown) => (outcome = { ok: false, error }),
    );
    this.time.runUntil(() => outcome !== null, waitMsMax);
    const settled = outcome as { ok: true; value: T } | { ok: false; error: unknown } | null;
    if (settled === null) throw new Violation("liveness", "a read or an append never ends");
    if (!settled.ok) throw settled.error;
    return settled.value;
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure.error;
    for (const node of this.nodes.values()) node.check();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
  }

  #summary(): string {
    const lines: string[] = [];
    for (const groupId of this.groups.keys()) {
      for (const node of this.nodes.values()) {
        const replica = node.replica(groupId);
        if (replica === null) continue;
        const { role, ready, commitIndex, lastIndex, members, identity } = replica;
        const voters = members.voters.map((one) => `${one.nodeId}.${one.incarnation}`).join();
        lines.push(
          `${groupId}@${node.id}.${identity.incarnation}: ${role.leader ? "leads" : `follows ${role.leaderId}`} ${role.term}${ready ? " ready" : ""} commit ${commitIndex} last ${lastIndex} of ${voters}${members.joint ? " joint" : ""}`,
        );
      }
    }
    return lines.join("; ");
  }

  #result(healedMs: number): ClusterResult {
    const invariants = [...this.groups.values()].map((group) => group.invariants);
    this.trace(`steps ${this.time.steps}`);
    return {
      seed: this.scenario.seed,
      virtualMs: this.time.now,
      steps: this.time.steps,
      acknowledged: sum(this.#histories.map((history) => history.acknowledged)),
      reads: sum(this.#histories.map((history) => history.reads)),
      elections: sum(invariants.map((one) => one.elections)),
      changes: sum(invariants.map((one) => one.changes)),
      crashes: this.#crashes,
      faults: this.#nemesis.counts,
      healedMs,
      hash: this.#hash.toString(16),
    };
  }
}

async function readAll(
  partition: Partition,
  bounds: { readonly logStartOffset: number; readonly highWatermark: number },
): Promise<string[] | "damaged"> {
  const records: string[] = [];
  for (let offset = bounds.logStartOffset; offset < bounds.highWatermark;) {
    const found = await partition.fetch({ offset, maxBytes: 100_000 });
    if (!found.ok && found.code === "storage_damaged") return "damaged";
    if (!found.ok) throw new Violation("unreadable", `offset ${offset}: ${found.detail}`);
    const page = recordsIn(found.batches);
    found.release();
    if (page.length === 0) throw new Violation("holes", `nothing was read at ${offset}`);
    for (const record of page) {
      const at = Number(record.slice(0, record.indexOf(":")));
      if (at >= offset && at < bounds.highWatermark) records.push(record);
    }
    offset = Number(page.at(-1)!.split(":", 1)[0]) + 1;
  }
  return records;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
