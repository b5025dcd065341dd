// The broker beside a naive model: arrays by topic and partition. Random verbs, restarts and crashes in between; after
// each, both must say the same.

import { afterEach, expect, test } from "bun:test";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { batchOf, valuesIn } from "./batches.ts";
import { must } from "./harness.ts";
import { at, fetchOf, produce } from "./requests.ts";
import { VirtualWorld } from "./virtual-world.ts";
import { startNodeOn, stopNodes, type Node } from "./whole-node.ts";

afterEach(stopNodes);

interface ModelLog {
  /** By offset; what lies below `start` is gone. */
  readonly values: string[];
  start: number;
}

const names = ["a", "b", "c"];

class Life {
  readonly #world: VirtualWorld;
  #disk: SimulatedDisk;
  #node: Node;
  readonly #model = new Map<string, ModelLog[]>();
  #written = 0;

  constructor(world: VirtualWorld, disk: SimulatedDisk, node: Node) {
    this.#world = world;
    this.#disk = disk;
    this.#node = node;
  }

  static async begin(seed: number): Promise<Life> {
    const world = new VirtualWorld(seed);
    const disk = createSimulatedDisk({ random: () => world.random() });
    return new Life(world, disk, await start(world, disk));
  }

  async step(): Promise<void> {
    const verbs = [
      () => this.#create(),
      () => this.#delete(),
      () => this.#write(),
      () => this.#write(),
      () => this.#write(),
      () => this.#raise(),
      () => this.#cut(),
      () => this.#restart(),
      () => this.#crash(),
    ];
    await this.#pick(verbs)();
  }

  async check(): Promise<void> {
    const { broker } = this.#node;
    expect(broker.status().topics).toBe(this.#model.size);
    for (const [name, logs] of this.#model) {
      const wanted = logs.map(({ start, values }, partition) => ({
        partition,
        logStartOffset: start,
        highWatermark: values.length,
        logEndOffset: values.length,
        lastStableOffset: values.length,
      }));
      expect(must(broker.bounds(name))).toEqual(wanted);
      const positions = logs.map(({ start }, partition) => at(partition, start));
      const fetched = must(await broker.fetch(fetchOf(name, ...positions)));
      fetched.partitions.forEach((partition, p) => {
        if (!partition.ok) throw new Error(partition.detail);
        const [first = new Uint8Array(0), ...rest] = partition.batches;
        const found =
          first.length === 0
            ? []
            : [...valuesIn(first, logs[p].start), ...rest.flatMap((b) => valuesIn(b))];
        expect(found).toEqual(logs[p].values.slice(logs[p].start));
      });
      fetched.release();
    }
  }

  async #create(): Promise<void> {
    const name = this.#pick(names);
    const partitions = 1 + this.#below(3);
    const created = await this.#node.broker.createTopic({ name, partitions });
    expect("ok" in created).toBe(this.#model.has(name));
    if (!this.#model.has(name)) this.#model.set(name, emptyLogs(partitions));
  }

  async #delete(): Promise<void> {
    const name = this.#pick(names);
    const deleted = await this.#node.broker.deleteTopic(name);
    expect(deleted.ok).toBe(this.#model.delete(name));
  }

  async #write(): Promise<void> {
    const [topic, logs] = this.#topic() ?? [];
    if (topic === undefined || logs === undefined) return;
    const partition = this.#below(logs.length);
    const values = Array.from({ length: 1 + this.#below(3) }, () => `v${(this.#written += 1)}`);
    const [outcome] = await this.#node.broker.produce(
      produce(topic, batchOf(...values), { partition }),
    );
    expect(outcome).toMatchObject({ ok: true, baseOffset: logs[partition].values.length });
    logs[partition].values.push(...values);
  }

  async #raise(): Promise<void> {
    const [topic, logs] = this.#topic() ?? [];
    if (topic === undefined || logs === undefined) return;
    must(await this.#node.broker.addPartitions(topic, logs.length + 1));
    logs.push(...emptyLogs(1));
  }

  async #cut(): Promise<void> {
    const [topic, logs] = this.#topic() ?? [];
    if (topic === undefined || logs === undefined) return;
    const partition = this.#below(logs.length);
    const log = logs[partition];
    const before = this.#below(log.values.length + 1);
    log.start = Math.max(log.start, before);
    const cut = await this.#node.broker.deleteRecords(topic, partition, before);
    expect(cut).toEqual({ ok: true, logStartOffset: log.start });
  }

  async #restart(): Promise<void> {
    await this.#node.broker.close();
    this.#node.abandon();
    this.#node = await start(this.#world, this.#disk);
  }

  async #crash(): Promise<void> {
    this.#node.abandon();
    this.#disk = this.#disk.crash({ kind: "power" });
    this.#node = await start(this.#world, this.#disk);
  }

  #topic(): [string, ModelLog[]] | null {
    const all = [...this.#model];
    return all.length === 0 ? null : this.#pick(all);
  }
  #pick<T>(of: readonly T[]): T {
    return of[this.#below(of.length)];
  }
  #below(n: number): number {
    return Math.floor(this.#world.random() * n);
  }
}

const emptyLogs = (count: number): ModelLog[] =>
  Array.from({ length: count }, () => ({ values: [], start: 0 }));

function start(world: VirtualWorld, disk: SimulatedDisk): Promise<Node> {
  return startNodeOn(() => disk, { world, journal: { fileBytesMax: 8_192 } });
}

test.each(Array.from({ length: 10 }, (_, i) => i + 1))(
  "the broker says what the model says, whatever happens, seed %p",
  async (seed) => {
    const life = await Life.begin(seed);
    for (let step = 0; step < 60; step += 1) {
      await life.step();
      await life.check();
    }
  },
);
