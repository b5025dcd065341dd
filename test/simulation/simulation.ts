// One node in virtual time on one seed: the real host, core and partitions over a disk that crashes and fails.
//
//   run:  [clients at work]---crash---[down]---restart, check---[clients at work]--- ... ---quiet, check
//
// Promise: everything is drawn from the seed, so a seed replays exactly (the trace's hash says so). After each restart
// and at the end: what was acknowledged is there, once, at its offset; offsets are dense; what was refused is not
// there; the live fold equals the fold of the log. Left to others: the clients (workload.ts), what they were told
// (ledger.ts), the disk (storage.ts).

import { createHash } from "node:crypto";

import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { Replica, ReplicaHost, StateMachine } from "../../src/consensus/replica.ts";
import type { Journal, ReadResult } from "../../src/journal/journal.ts";
import { Fault } from "../../src/errors.ts";
import { logIndex } from "../../src/quantities.ts";
import { PartitionFold } from "../../src/partition/fold.ts";
import { createPartition, openPartition, type Partition } from "../../src/partition/partition.ts";
import { decodeSnapshot } from "../../src/consensus/snapshot-envelope.ts";
import { recordsIn } from "../partition/batches.ts";
import { VirtualWorld } from "../consensus/virtual-world.ts";
import { Ledger } from "./ledger.ts";
import { SimulatedStorage } from "./storage.ts";
import { Client } from "./workload.ts";

const groups = 3;
const clients = 6;
const calmMs = 2_500;

export interface SimulationResult {
  readonly seed: number;
  /** Virtual ms that passed. */
  readonly virtualMs: number;
  readonly acknowledged: number;
  readonly crashes: number;
  readonly faults: number;
  readonly codes: ReadonlyMap<string, number>;
  /** SHA-256 over the trace. */
  readonly hash: string;
}

export interface SimulationOptions {
  readonly seed: number;
  /** Virtual ms under load. */
  readonly loadMs: number;
  /** Told each line of the trace. */
  readonly onTrace?: (line: string) => void;
}

/** Runs one seed. Throws with the seed in the message when something does not hold. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  try {
    return await new Simulation(options).run();
  } catch (error) {
    throw new Error(`Seed ${options.seed}: ${String(error)}`, { cause: error });
  }
}

interface Node {
  readonly journal: Journal;
  readonly host: Host;
  readonly partitions: readonly Partition[];
  /** What the host drives, by group id. */
  readonly machines: ReadonlyMap<
    string,
    { readonly machine: StateMachine; readonly replica: Replica }
  >;
  /** Settles when this node crashes. */
  readonly crashed: Promise<null>;
  readonly crash: () => void;
}

class Simulation {
  readonly #world: VirtualWorld;
  readonly #storage: SimulatedStorage;
  readonly #ledger = new Ledger(groups);
  readonly #hash = createHash("sha256");
  readonly #loadMs: number;
  readonly #seed: number;
  readonly #onTrace: (line: string) => void;
  #node: Node | null = null;
  #clients: readonly Client[] = [];
  #failure: unknown = null;
  #crashes = 0;

  constructor(options: SimulationOptions) {
    this.#seed = options.seed;
    this.#loadMs = options.loadMs;
    this.#onTrace = options.onTrace ?? (() => {});
    this.#world = new VirtualWorld(options.seed);
    this.#storage = new SimulatedStorage(this.#world);
  }

  async run(): Promise<SimulationResult> {
    const world = this.#world;
    await this.#start();
    const { all, ended } = this.#startClients();
    this.#clients = all;
    while (world.monotonic() < this.#loadMs) {
      await world.run(20 + world.below(400));
      this.#throwFailure();
      await this.#disturb();
    }
    for (const client of all) client.stop();
    // Nobody waits for an answer that never comes.
    await world.until(ended, 10_000);
    this.#throwFailure();
    await this.#restart("stop");
    return this.#result();
  }

  #startClients(): { readonly all: readonly Client[]; readonly ended: Promise<unknown> } {
    const all: Client[] = [];
    const runs: Promise<void>[] = [];
    for (let id = 0; id < clients; id += 1) {
      const client = new Client(
        {
          world: this.#world,
          ledger: this.#ledger,
          partition: (group) => this.#node?.partitions[group] ?? null,
          alive: (answer) => this.#alive(answer),
          groups,
          trace: (line) => this.#trace(line),
        },
        id,
      );
      all.push(client);
      runs.push(client.run().catch((error: unknown) => void (this.#failure ??= error)));
    }
    return { all, ended: Promise.all(runs) };
  }

  async #disturb(): Promise<void> {
    const dice = this.#world.below(10);
    if (dice < 3) await this.#restart("crash");
    else if (dice === 3) await this.#restart("stop");
    else if (dice < 6) this.#trace(`fault ${this.#storage.fail()}`);
    else if (dice === 6) await this.#checkFolds(this.#node!);
    else if (dice === 8) await this.#calm();
    else if (dice === 7) this.#world.wallOffset += this.#world.below(20_000) - 10_000;
    if (this.#storage.needsRestart) await this.#restart("crash");
  }

  /** Without further faults everybody is answered: a stopped disk looks for room every second. */
  async #calm(): Promise<void> {
    await this.#world.run(calmMs);
    this.#throwFailure();
    for (const { waitingSince } of this.#clients) {
      if (waitingSince !== null && waitingSince < this.#world.monotonic() - calmMs) {
        throw new Error(`A client waits since ${waitingSince}, it is ${this.#world.monotonic()}`);
      }
    }
  }

  async #restart(how: "crash" | "stop"): Promise<void> {
    this.#trace(how);
    this.#crashes += how === "crash" ? 1 : 0;
    const node = this.#node!;
    if (how === "stop") await this.#stop(node);
    this.#node = null;
    this.#storage.crash();
    node.crash();
    await this.#world.run(5);
    await this.#start();
  }

  /** Drained and saved, unless the disk has other plans. */
  async #stop(node: Node): Promise<void> {
    const closed = node.host.close().then(() => node.journal.close());
    await this.#world.until(
      closed.catch(() => undefined),
      10_000,
    );
  }

  async #start(): Promise<void> {
    const world = this.#world;
    const journal = await world.until(this.#storage.open());
    const host = createReplicaHost({ world, journal, nodeId: 1 });
    const machines = new Map<string, { machine: StateMachine; replica: Replica }>();
    const watched = watch(host, machines);
    const known = new Set(host.groupIds());
    const { slabs } = this.#storage;
    const partitions: Partition[] = [];
    for (let group = 0; group < groups; group += 1) {
      const options = { host: watched, journal, slabs, groupId: `topic/${group}` };
      const found = known.has(options.groupId);
      partitions.push(found ? await world.until(openPartition(options)) : createPartition(options));
    }
    const { promise: crashed, resolve } = Promise.withResolvers<null>();
    const crash = (): void => resolve(null);
    const node = { journal, host, partitions, machines, crashed, crash };
    await this.#checkLogs(node);
    // Half of the starts replay at once, the others on first use.
    if (world.below(2) === 0) await world.until(Promise.all(partitions.map((p) => p.warm())));
    await this.#checkFolds(node);
    this.#node = node;
  }

  /** Before the clients are let in again. */
  async #checkLogs(node: Node): Promise<void> {
    for (let group = 0; group < groups; group += 1) {
      const bounds = node.partitions[group].bounds();
      const records = await this.#world.until(this.#readAll(node.partitions[group], bounds));
      const { logStartOffset, highWatermark } = bounds;
      this.#ledger.checkLog(group, { logStartOffset, highWatermark, records });
    }
  }

  async #checkFolds(node: Node): Promise<void> {
    for (const groupId of node.machines.keys()) {
      await this.#world.until(this.#checkFold(node, groupId));
    }
    this.#throwFailure();
  }

  async #readAll(
    partition: Partition,
    bounds: { readonly logStartOffset: number; readonly highWatermark: number },
  ): Promise<string[]> {
    const records: string[] = [];
    for (let offset = bounds.logStartOffset; offset < bounds.highWatermark;) {
      const found = await partition.fetch({ offset, maxBytes: 100_000 });
      if (!found.ok) throw new Error(`Cannot read ${offset}: ${found.detail}`);
      const page = recordsIn(found.batches);
      found.release();
      if (page.length === 0) throw new Error(`Nothing was read at ${offset}`);
      for (const record of page) {
        const at = Number(record.slice(0, record.indexOf(":")));
        if (at >= offset && at < bounds.highWatermark) records.push(record);
      }
      offset = Number(page.at(-1)!.split(":", 1)[0]) + 1;
    }
    return records;
  }

  /** fold(log) == live state: from the newest snapshot, and from the beginning while the log still has it. */
  async #checkFold(node: Node, groupId: string): Promise<void> {
    const { machine, replica } = node.machines.get(groupId)!;
    const { snapshotIndex, logStart } = node.journal.state(replica.number);
    if (snapshotIndex < logStart.index - 1) {
      throw new Error(`Log of ${groupId} starts at ${logStart.index}, saved is ${snapshotIndex}`);
    }
    if (!replica.ready) return;
    const applied = replica.appliedIndex;
    const live = hex(machine.snapshot());
    for (const from of ["snapshot", "beginning"] as const) {
      const folded = await this.#foldOf(node, replica, { from, applied });
      if (folded !== null && folded !== live) {
        throw new Error(`Fold of ${groupId} from its ${from} to ${applied} is not the live state`);
      }
    }
  }

  /** Null when the log no longer holds what is wanted: it may be cut while it is read. */
  async #foldOf(
    node: Node,
    replica: Replica,
    of: { readonly from: "snapshot" | "beginning"; readonly applied: number },
  ): Promise<string | null> {
    const { journal } = node;
    const fold = new PartitionFold();
    const snapshot = of.from === "snapshot" ? await journal.readSnapshot(replica.number) : null;
    if (snapshot !== null) fold.restore(decodeSnapshot(snapshot.bytes).machine);
    for (let next = (snapshot?.index ?? 0) + 1; next <= of.applied;) {
      if (journal.state(replica.number).logStart.index > next) return null;
      const read = await this.#readPage(node, replica, { index: next, end: of.applied + 1 });
      if (read === null) return null;
      for (const entry of read.entries) fold.apply(entry);
      next = read.entries.at(-1)!.index + 1;
      read.release();
    }
    return (snapshot?.index ?? 0) > of.applied ? null : hex(fold.snapshot());
  }

  async #readPage(
    { journal }: Node,
    replica: Replica,
    of: { readonly index: number; readonly end: number },
  ): Promise<ReadResult | null> {
    const from = { index: logIndex(of.index) };
    const endIndex = logIndex(of.end);
    const request = { replica: replica.number, from, endIndex, maxBytes: 1 << 20, dataOnly: false };
    try {
      return await journal.read(request);
    } catch (error) {
      if (error instanceof Fault && error.code === "offset_out_of_range") return null;
      throw error;
    }
  }

  #alive<T>(answer: T | Promise<T>): Promise<T | null> {
    const { crashed } = this.#node!;
    return Promise.race([answer, crashed]);
  }

  #trace(line: string): void {
    const stamped = `${this.#world.monotonic().toFixed(3)} ${line}`;
    this.#hash.update(`${stamped}\n`);
    this.#onTrace(stamped);
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  #result(): SimulationResult {
    return {
      seed: this.#seed,
      virtualMs: this.#world.monotonic(),
      acknowledged: this.#ledger.acknowledged,
      crashes: this.#crashes,
      faults: this.#storage.faults,
      codes: this.#ledger.codes,
      hash: this.#hash.digest("hex").slice(0, 16),
    };
  }
}

/** The host, noting which machine belongs to which replica. */
function watch(
  host: Host,
  machines: Map<string, { machine: StateMachine; replica: Replica }>,
): ReplicaHost {
  const note = (groupId: string, machine: StateMachine, replica: Replica): Replica => {
    machines.set(groupId, { machine, replica });
    return replica;
  };
  return {
    create: (groupId, machine, birth) =>
      note(groupId, machine, host.create(groupId, machine, birth)),
    open: async (groupId, machine) => note(groupId, machine, await host.open(groupId, machine)),
    groupIds: () => host.groupIds(),
    replica: (groupId) => host.replica(groupId),
    led: () => host.led(),
    unfit: null,
    onPacket: (packet) => host.onPacket(packet),
    onUp: (node) => host.onUp(node),
    onBroken: (node, lane) => host.onBroken(node, lane),
    onDown: (node) => host.onDown(node),
    remove: (groupId) => host.remove(groupId),
    close: () => host.close(),
    metrics: () => host.metrics(),
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
