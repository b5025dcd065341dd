// Causes the faults of a scenario, one after the other, each for a while; and ends them all.
//
// Promise: no more than one permanent loss (a disk, a damaged replica) at a time, of a node that each group can do
// without, and only when every group has settled after the last: more is more than any quorum survives. Everything else
// may meet everything else. Left to others: what a fault does (node.ts, node-disk.ts, memory-network.ts).

import type { Cluster } from "./cluster.ts";
import type { SimulatedNode } from "./node.ts";
import type { FaultKind } from "./scenario.ts";
import type { Stream } from "./random.ts";

export class Nemesis {
  readonly counts = new Map<FaultKind, number>();
  readonly #cluster: Cluster;
  readonly #random: Stream;
  #ended = false;

  constructor(cluster: Cluster, random: Stream) {
    this.#cluster = cluster;
    this.#random = random;
  }

  start(): void {
    const { faults } = this.#cluster.scenario;
    if (faults.length > 0) this.#later(this.#restMs(), () => this.#next(faults));
  }

  /** Nothing is wrong any more: the network is whole, disks are fast, everybody runs. */
  end(): void {
    this.#ended = true;
    const { network, nodes } = this.#cluster;
    network.heal();
    for (const node of nodes.values()) {
      node.disk.heal();
      node.resume();
      node.start();
    }
  }

  #next(faults: readonly FaultKind[]): void {
    const kind = this.#random.pick(faults);
    if (this.#cause(kind)) {
      this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
      this.#cluster.trace(`fault ${kind}`);
    }
    this.#later(this.#restMs(), () => this.#next(faults));
  }

  /** False when it made no sense now. */
  #cause(kind: FaultKind): boolean {
    const table: Readonly<Record<FaultKind, () => boolean>> = {
      loss: () => this.#lose(),
      delay: () => this.#delay(),
      "cut-one-way": () => this.#link((from, to) => this.#network.cutOneWay(from, to)),
      cut: () => this.#link((from, to) => this.#network.cut(from, to)),
      split: () => this.#split(),
      isolate: () => this.#isolate(),
      clog: () => this.#clog(),
      reset: () => this.#link((from, to) => this.#network.reset(from, to)),
      crash: () => this.#crash("process"),
      "power-cut": () => this.#crash("power"),
      "crash-at-commit": () => this.#crashAtCommit(),
      "power-cut-all": () => this.#powerCutAll(),
      stop: () => this.#stop(),
      pause: () => this.#pause(),
      "clock-jump": () => this.#jump(),
      "disk-failed": () => this.#fail("storage_failed"),
      "disk-full": () => this.#fail("storage_full"),
      "disk-hang": () => this.#hang(),
      "disk-slow": () => this.#slow(),
      "bit-flip": () => this.#flip(),
      membership: () => this.#change(),
      transfer: () => this.#transfer(),
      "replace-node": () => this.#replace(),
    };
    return table[kind]();
  }

  get #network() {
    return this.#cluster.network;
  }

  #restMs(): number {
    return this.#random.next() * 2 * this.#cluster.scenario.faultEveryMs;
  }

  /** Mostly short, sometimes longer than any timeout. */
  #durationMs(): number {
    return this.#random.chance(0.7)
      ? this.#random.between(50, 1_500)
      : this.#random.between(1_500, 8_000);
  }

  #later(ms: number, fn: () => void): void {
    this.#cluster.time.after(ms, () => this.#ended || fn());
  }

  #node(): SimulatedNode {
    return this.#random.pick([...this.#cluster.nodes.values()]);
  }

  /** Half of the time one that leads something. */
  #victim(): SimulatedNode {
    const leaders = [...this.#cluster.nodes.values()].filter((node) => this.#cluster.leads(node));
    return leaders.length > 0 && this.#random.chance(0.5)
      ? this.#random.pick(leaders)
      : this.#node();
  }

  #link(fault: (from: number, to: number) => void): boolean {
    const from = this.#victim().id;
    const to = this.#node().id;
    if (from === to) return false;
    fault(from, to);
    this.#later(this.#durationMs(), () => this.#network.heal(from, to));
    return true;
  }

  #lose(): boolean {
    const chance = this.#random.next() * 0.2;
    return this.#link((from, to) => this.#network.lose(from, to, chance));
  }

  #delay(): boolean {
    const maxMs = this.#random.pick([20, 100, 500]);
    return this.#link((from, to) => this.#network.delay(from, to, { minMs: maxMs / 4, maxMs }));
  }

  #clog(): boolean {
    const from = this.#victim().id;
    const to = this.#node().id;
    if (from === to) return false;
    this.#network.clog(from, to);
    this.#later(this.#durationMs(), () => this.#network.unclog(from, to));
    return true;
  }

  /** In two parts, one way or both. */
  #split(): boolean {
    const ids = [...this.#cluster.nodes.keys()];
    const side = new Map(ids.map((id) => [id, this.#random.chance(0.5)]));
    const bothWays = this.#random.chance(0.7);
    for (const from of ids) {
      for (const to of ids) {
        if (side.get(from) === side.get(to) || (!bothWays && side.get(from) === true)) continue;
        this.#network.cutOneWay(from, to);
      }
    }
    this.#later(this.#durationMs(), () => this.#network.heal());
    return true;
  }

  #isolate(): boolean {
    const { id } = this.#victim();
    const others = [...this.#cluster.nodes.keys()].filter((other) => other !== id);
    this.#network.isolate(id, others);
    this.#later(this.#durationMs(), () => {
      for (const other of others) this.#network.heal(id, other);
    });
    return true;
  }

  #crash(how: "process" | "power"): boolean {
    const node = this.#victim();
    if (!node.up) return false;
    this.#cluster.crash(node, how);
    this.#later(this.#durationMs() / 2, () => node.start());
    return true;
  }

  #crashAtCommit(): boolean {
    const node = this.#victim();
    if (!node.up) return false;
    const how = this.#random.pick(["process", "power"] as const);
    node.disk.atNextCommit(() => {
      if (this.#ended) return;
      this.#cluster.crash(node, how);
      this.#later(this.#durationMs() / 2, () => node.start());
    });
    return true;
  }

  /** The whole room goes dark at one moment. */
  #powerCutAll(): boolean {
    for (const node of this.#cluster.nodes.values()) {
      this.#cluster.crash(node, "power");
      this.#later(this.#random.next() * 500, () => node.start());
    }
    return true;
  }

  #stop(): boolean {
    const node = this.#victim();
    if (!node.up || node.paused) return false;
    void node.stop().then(() => this.#later(this.#durationMs() / 2, () => node.start()));
    return true;
  }

  #pause(): boolean {
    const node = this.#victim();
    if (!node.up) return false;
    node.pause();
    this.#later(this.#durationMs(), () => node.resume());
    return true;
  }

  #jump(): boolean {
    this.#node().clock.offsetMs += this.#random.between(-20_000, 20_000);
    return true;
  }

  #fail(code: "storage_failed" | "storage_full"): boolean {
    this.#victim().disk.failNext(this.#random.chance(0.2) ? "roll" : "commit", code);
    return true;
  }

  #hang(): boolean {
    this.#victim().disk.hang(this.#durationMs());
    return true;
  }

  #slow(): boolean {
    this.#victim().disk.slow(this.#durationMs(), this.#random.pick([5, 20, 60]));
    return true;
  }

  #flip(): boolean {
    if (!this.#cluster.settled()) return false;
    return this.#cluster.flip(this.#victim());
  }

  #change(): boolean {
    const { nodes, groups } = this.#cluster;
    const ids = [...nodes.keys()];
    // What may be damaged must have two others beside it.
    const size = this.#random.pick(this.#cluster.damaged ? [3, 3, 5, 4] : [1, 3, 3, 5, 2, 4]);
    const wanted: number[] = [];
    while (wanted.length < Math.min(size, ids.length)) {
      const id = this.#random.pick(ids);
      if (!wanted.includes(id)) wanted.push(id);
    }
    this.#random.pick([...groups.values()]).placement.aim(wanted);
    return true;
  }

  #transfer(): boolean {
    const groupId = this.#random.pick([...this.#cluster.groups.keys()]);
    const node = [...this.#cluster.nodes.values()].find(
      (one) => one.replica(groupId)?.ready === true,
    );
    const replica = node?.replica(groupId);
    if (replica == null) return false;
    void replica.transferLeadership(this.#random.pick(replica.members.voters).nodeId);
    return true;
  }

  /** A disk is lost for good; a new node takes its place. */
  #replace(): boolean {
    if (this.#cluster.damaged || !this.#cluster.settled()) return false;
    return this.#cluster.replace(this.#victim());
  }
}
