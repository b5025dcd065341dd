// bun test/nemesis/nemesis.ts [--seconds N] [--seed S] [--nodes 3] [--faults kill,pause,cut,isolate,fill,kill-all] [--porcupine]
//
// A real cluster under a recorded load while a nemesis kills (-9), pauses (SIGSTOP), cuts links one way and both, fills a
// disk, and kills everything at once. Then all is healed, every node's logs are read, and the history is judged.
//
// Promise: the faults are drawn from the seed (their effects are the machine's). Prints what was done, the writers'
// longest gap behind each fault, and the verdict; a violation ends with 1. Nothing is left behind.

import { writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { seededRandom } from "../durability/seeded-random.ts";
import { checkHistory, type Verdict } from "./checker.ts";
import { canMakeNamespaces, createNamespaces, loopback, type Network } from "./network.ts";
import { startCluster, type ClusterProcesses } from "./processes.ts";
import { readLog, Workload } from "./workload.ts";

export const faultKinds = ["kill", "pause", "cut", "isolate", "fill", "kill-all"] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface NemesisOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly nodes: number;
  readonly faults: readonly FaultKind[];
  /** Judge with Porcupine too, where Go is there. */
  readonly porcupine: boolean;
  readonly onLine: (line: string) => void;
}

export interface NemesisResult {
  readonly verdict: Verdict;
  readonly codes: ReadonlyMap<string, number>;
  /** null: not asked for, or Go is not there. */
  readonly porcupine: string | null;
  /** The writers' longest gap behind each fault, ms. */
  readonly gaps: readonly { readonly fault: FaultKind; readonly ms: number }[];
}

/** Of namespaces and mounts. */
const needsRoot: ReadonlySet<FaultKind> = new Set(["cut", "isolate", "fill"]);
const topic = "history";
const partitions = 3;
const settleMsMax = 60_000;
/** What the nodes printed is shown behind a gap longer than this. */
const longGapMs = 6_000;

/** Runs once. Throws an Error that names the seed and what does not hold. */
export async function runNemesis(options: NemesisOptions): Promise<NemesisResult> {
  const network = canMakeNamespaces() ? createNamespaces(options.nodes) : loopback;
  if (!network.canCut) options.onLine("links are not cut: network namespaces need Linux and root");
  let cluster: ClusterProcesses | null = null;
  try {
    cluster = await startCluster({ network, count: options.nodes });
    return await new Nemesis(options, network, cluster).run();
  } catch (cause) {
    const told = cluster === null ? "" : tails(cluster);
    throw new Error(`Nemesis failed at seed ${options.seed}: ${String(cause)}\n${told}`, { cause });
  } finally {
    await cluster?.close();
    network.close();
  }
}

class Nemesis {
  readonly #options: NemesisOptions;
  readonly #network: Network;
  readonly #cluster: ClusterProcesses;
  readonly #random: () => number;
  readonly #workload: Workload;
  readonly #gaps: { fault: FaultKind; ms: number }[] = [];

  constructor(options: NemesisOptions, network: Network, cluster: ClusterProcesses) {
    this.#options = options;
    this.#network = network;
    this.#cluster = cluster;
    this.#random = seededRandom(options.seed);
    const urls = cluster.nodes.map((node) => node.url);
    const random = seededRandom(options.seed + 1);
    this.#workload = new Workload({ urls, topic, partitions, writers: 6, readers: 3, random });
  }

  async run(): Promise<NemesisResult> {
    await this.#createTopic();
    this.#workload.start();
    const until = performance.now() + this.#options.seconds * 1_000;
    await Bun.sleep(1_000);
    this.#workload.longestGap();
    const kinds = this.#options.faults.filter(
      (kind) => this.#network.canCut || !needsRoot.has(kind),
    );
    while (performance.now() < until) {
      const fault = kinds[this.#below(kinds.length)];
      await this.#disturb(fault);
      await Bun.sleep(1_500 + this.#below(1_500));
      const ms = Math.round(this.#workload.longestGap()?.ms ?? 0);
      this.#gaps.push({ fault, ms });
      this.#options.onLine(`${fault}: longest gap of a partition's writers ${ms} ms`);
      if (ms > longGapMs) this.#options.onLine(tails(this.#cluster));
    }
    await this.#heal();
    await this.#workload.stop();
    return await this.#judge();
  }

  async #createTopic(): Promise<void> {
    const response = await fetch(`${this.#cluster.nodes[0].url}/v1/topics`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: topic, partitions, replicationFactor: this.#factor() }),
    });
    const text = await response.text();
    if (response.status !== 201) throw new Error(`Cannot create the topic: ${text}`);
  }

  #factor(): number {
    return Math.min(3, this.#options.nodes);
  }

  async #disturb(fault: FaultKind): Promise<void> {
    const { nodes } = this.#cluster;
    const node = nodes[this.#below(nodes.length)];
    const other = nodes[(node.n + this.#below(nodes.length - 1)) % nodes.length];
    switch (fault) {
      case "kill":
        await node.kill();
        await Bun.sleep(200 + this.#below(2_500));
        node.start();
        return;
      case "pause":
        node.pause();
        await Bun.sleep(200 + this.#below(5_000));
        node.resume();
        return;
      case "cut":
        this.#network.cut(node.n, other.n);
        if (this.#below(2) === 0) this.#network.cut(other.n, node.n);
        await Bun.sleep(500 + this.#below(5_000));
        this.#network.heal();
        return;
      case "isolate":
        for (const peer of nodes) {
          if (peer === node) continue;
          this.#network.cut(node.n, peer.n);
          this.#network.cut(peer.n, node.n);
        }
        await Bun.sleep(500 + this.#below(5_000));
        this.#network.heal();
        return;
      case "fill":
        this.#cluster.smallDisk?.fill();
        await Bun.sleep(500 + this.#below(5_000));
        this.#cluster.smallDisk?.free();
        return;
      case "kill-all":
        await Promise.all(nodes.map((one) => one.kill()));
        for (const one of nodes) one.start();
        await this.#cluster.untilReady();
    }
  }

  async #heal(): Promise<void> {
    this.#network.heal();
    this.#cluster.smallDisk?.free();
    for (const node of this.#cluster.nodes) {
      node.resume();
      node.start();
    }
    await this.#cluster.untilReady();
  }

  async #judge(): Promise<NemesisResult> {
    const logs = new Map<number, { readonly start: number; readonly values: readonly string[] }>();
    for (let partition = 0; partition < partitions; partition += 1)
      logs.set(partition, await this.#agreedLog(partition));
    const { history, codes, outOfRange } = this.#workload;
    const verdict = checkHistory(history.ops, logs);
    const violations = [
      ...verdict.violations,
      ...outOfRange.map((read) => `A read at an acknowledged offset was out of range: ${read}`),
    ];
    const porcupine = this.#options.porcupine ? await this.#askPorcupine(logs) : null;
    if (porcupine?.includes("Illegal")) violations.push(porcupine);
    return { verdict: { ...verdict, violations }, codes, porcupine, gaps: this.#gaps };
  }

  /** What every node holds, once they all hold the same. */
  async #agreedLog(partition: number): Promise<{ start: number; values: readonly string[] }> {
    const deadline = performance.now() + settleMsMax;
    for (;;) {
      const leader = await readLog(this.#cluster.nodes[0].url, {
        topic,
        partition,
        consistency: "linearizable",
      });
      const locals = await Promise.all(
        this.#cluster.nodes.map(({ url }) =>
          readLog(url, { topic, partition, consistency: "local" }),
        ),
      );
      const wanted = JSON.stringify(leader.values);
      if (locals.every(({ values }) => JSON.stringify(values) === wanted)) return leader;
      if (performance.now() > deadline) {
        const lengths = locals.map(({ values }) => values.length).join(", ");
        throw new Error(
          `Partition ${partition}: the leader holds ${leader.values.length} records, the nodes ${lengths}`,
        );
      }
      await Bun.sleep(100);
    }
  }

  async #askPorcupine(logs: ReadonlyMap<number, unknown>): Promise<string | null> {
    if (spawnSync("go", ["version"]).status !== 0) return null;
    const folder = await mkdtemp(join(tmpdir(), "rivulet-history-"));
    const [history, held] = [join(folder, "history.ndjson"), join(folder, "logs.json")];
    await this.#workload.history.save(history);
    writeFileSync(held, JSON.stringify(Object.fromEntries(logs)));
    const cwd = join(import.meta.dirname, "porcupine");
    const { stdout, stderr } = spawnSync("go", ["run", ".", history, held], {
      cwd,
      encoding: "utf8",
    });
    await rm(folder, { recursive: true });
    return stdout.trim() === "" ? `porcupine did not run: ${stderr.trim()}` : stdout.trim();
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }
}

function tails({ nodes }: ClusterProcesses): string {
  return nodes.map((node) => `-- node ${node.n}\n${node.tail(12)}`).join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "60" },
      seed: { type: "string", default: "1" },
      nodes: { type: "string", default: "3" },
      faults: { type: "string", default: faultKinds.join(",") },
      porcupine: { type: "boolean", default: false },
    },
  });
  const wanted = values.faults.split(",");
  const result = await runNemesis({
    seconds: Number(values.seconds),
    seed: Number(values.seed),
    nodes: Number(values.nodes),
    faults: faultKinds.filter((kind) => wanted.includes(kind)),
    porcupine: values.porcupine,
    onLine: (line) => console.log(line),
  });
  const { violations, ...counts } = result.verdict;
  console.log(counts);
  console.log(Object.fromEntries(result.codes));
  if (result.porcupine !== null) console.log(result.porcupine);
  for (const violation of violations.slice(0, 50)) console.log(`VIOLATION ${violation}`);
  console.log(`${violations.length} violations`);
  process.exit(violations.length === 0 ? 0 : 1);
}
