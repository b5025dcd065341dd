// A cluster whose nodes join, die, come back, are cut off and removed by chance, while topics come and go and words are
// said; then peace. What must hold in the end: one state everywhere, every group exactly where it is wanted, every word
// that was committed on each of its replicas, nothing left of what left.
//
// Promise: one seed, one course of events; on the way the controller never has two or four voters.

import { groupIdOf } from "../../src/cluster/birth.ts";
import type { Command } from "../../src/cluster/commands.ts";
import { place } from "../../src/cluster/placement.ts";
import { MemoryCluster, membersOf, type MemoryNode } from "./memory-cluster.ts";
import { id } from "./states.ts";

const nodesMax = 6;

export async function chaos(seed: number, steps: number): Promise<void> {
  const cluster = await MemoryCluster.of(3, seed);
  const storm = new Storm(cluster);
  try {
    for (let step = 0; step < steps; step += 1) await storm.step();
    await storm.peace();
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`${what}\nseed ${seed}:\n${storm.story.join("\n")}`, { cause: error });
  }
}

class Storm {
  readonly story: string[] = [];
  readonly #cluster: MemoryCluster;
  /** Words by group, in the order in which they were committed. */
  readonly #said = new Map<string, string[]>();
  #mayDamage = true;
  #topics = 0;
  #words = 0;

  constructor(cluster: MemoryCluster) {
    this.#cluster = cluster;
  }

  async step(): Promise<void> {
    const { world } = this.#cluster;
    const deeds: readonly (readonly [number, () => Promise<void>])[] = [
      [6, () => this.#say()],
      [3, () => this.#create()],
      [1, () => this.#delete()],
      [3, () => this.#crash()],
      [4, () => this.#restart()],
      [2, () => this.#isolate()],
      [3, () => this.#heal()],
      [2, () => this.#join()],
      [1, () => this.#remove()],
      [1, () => this.#damage()],
      [1, () => this.#cutOneWay()],
    ];
    let at = world.below(deeds.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, deed] of deeds) {
      at -= weight;
      if (at >= 0) continue;
      await deed();
      break;
    }
    await world.run(world.below(1_500));
    this.#expectOddVoters();
  }

  async peace(): Promise<void> {
    const cluster = this.#cluster;
    this.story.push("peace");
    cluster.network.heal();
    await this.#startAll();
    // Those that come late may tell of more.
    await cluster.eventually("one state", () => sameStates(this.#members()), 120_000);
    cluster.finishJoining();
    await this.#startAll();
    const up = this.#members();
    await cluster.eventually("one state", () => sameStates(this.#members()), 120_000);
    await cluster
      .eventually("rest", () => this.#restless() === null, 180_000)
      .catch((error) => {
        throw new Error(`${String(error)}: ${this.#restless()}`);
      });
    if (up.length === 0) throw new Error("Nobody is left");
    for (const [groupId, words] of this.#said) await this.#expectWords(groupId, words);
  }

  async #startAll(): Promise<void> {
    const down = [...this.#cluster.nodes.values()].filter((node) => !node.alive && !node.removed);
    await this.#cluster.world.until(Promise.all(down.map((node) => node.start())), 90_000);
  }

  /** What is not yet as it is wanted; null: nothing. */
  #restless(): string | null {
    const cluster = this.#cluster;
    const { state } = this.#members()[0];
    if (!sameStates(this.#members())) return "states differ";
    for (const { nodeId, draining } of state.nodes.values())
      if (draining) return `node ${nodeId} drains`;
    if (state.unsettled > 0) return `${state.unsettled} partitions are not settled`;
    const leader = cluster.leaderOf("controller");
    const wanted = state.controllerTarget();
    const controller = leader === null ? "no leader" : membersOf(leader, "controller");
    const shown = [wanted.voters, wanted.learners].map((of) =>
      of.map(({ nodeId }) => nodeId).join(" "),
    );
    const target = shown[1] === "" ? shown[0] : shown.join(" | ");
    if (controller !== target) return `the controller is ${controller}, wanted ${target}`;
    for (const node of this.#members())
      for (const groupId of node.groupIds()) {
        const assigned = assignedTo(node, groupId);
        if (!assigned) return `node ${node.nodeId} still has ${groupId}`;
      }
    return null;
  }

  async #expectWords(groupId: string, words: readonly string[]): Promise<void> {
    const cluster = this.#cluster;
    const [first] = this.#members();
    const [topicId, partition] = groupId.split("/");
    const topic = first.state.topicById(topicId);
    if (topic === null) return;
    await cluster.say(groupId, "last");
    const assigned = topic.assignments[Number(partition)].map(({ nodeId }) => nodeId);
    for (const nodeId of assigned) {
      const node = cluster.node(nodeId);
      const heard = () => cluster.heard(node, groupId);
      await cluster.eventually(`the last word at ${nodeId}`, () => heard().at(-1) === "last");
      const missing = words.filter((word) => !heard().includes(word));
      if (missing.length > 0)
        throw new Error(`Node ${nodeId} lacks ${missing.join()} of ${groupId}: ${heard().join()}`);
      const kept = heard().filter((word) => words.includes(word));
      if (kept.join() !== words.join())
        throw new Error(`Node ${nodeId} has ${kept.join()} of ${groupId}, wanted ${words.join()}`);
    }
  }

  #expectOddVoters(): void {
    for (const node of this.#cluster.living) {
      const { voters, joint } = node.controller.replica.members;
      if (!joint && voters.length > 0 && voters.length % 2 === 0)
        throw new Error(`Node ${node.nodeId} sees ${voters.length} voters of the controller`);
    }
  }

  /** Members that are up. */
  #members(): MemoryNode[] {
    const { living } = this.#cluster;
    return living.filter((node) => !node.removed && node.state.nodes.has(node.nodeId));
  }

  #pick<T>(of: readonly T[]): T | null {
    return of.length === 0 ? null : of[this.#cluster.world.below(of.length)];
  }

  async #say(): Promise<void> {
    const groupId = this.#pick([...this.#said.keys()]);
    if (groupId === null) return;
    const word = `w${(this.#words += 1)}`;
    const committed = await this.#cluster.trySaying(groupId, word);
    if (committed) this.#said.get(groupId)!.push(word);
    this.story.push(`say ${word} to ${groupId.slice(-4)}: ${committed}`);
  }

  async #create(): Promise<void> {
    const node = this.#pick(this.#members());
    if (node === null || this.#topics === 6) return;
    const n = (this.#topics += 1);
    const factor = this.#pick([null, 1, 2, 3]);
    const assignments = place(node.state, { partitions: 2, factor: factor ?? 3 });
    const done = await this.#submit(node, {
      kind: "createTopic",
      name: `t${n}`,
      topicId: id(n),
      assignments,
      configs: {},
      explicitFactor: factor !== null,
    });
    this.story.push(`create t${n} with ${factor} at ${node.nodeId}: ${done}`);
    for (const partition of [0, 1]) {
      const groupId = groupIdOf({ topicId: id(n), partition });
      if (done && assignments[0].length > 1) this.#said.set(groupId, []);
    }
  }

  async #delete(): Promise<void> {
    const node = this.#pick(this.#members());
    const name = node === null ? null : this.#pick(node.state.names);
    if (node === null || name === null) return;
    const { topicId } = node.state.topic(name)!;
    const done = await this.#submit(node, { kind: "deleteTopic", topicId });
    this.story.push(`delete ${name} at ${node.nodeId}: ${done}`);
    for (const partition of [0, 1]) this.#said.delete(groupIdOf({ topicId, partition }));
  }

  async #submit(node: MemoryNode, command: Command): Promise<boolean> {
    return (await this.#cluster.world.until(node.controller.submit(command))).ok;
  }

  async #crash(): Promise<void> {
    const node = this.#pick(this.#members());
    if (node === null || this.#members().length < 2) return;
    node.crash();
    this.story.push(`crash ${node.nodeId}`);
  }

  async #restart(): Promise<void> {
    const down = [...this.#cluster.nodes.values()].filter((node) => !node.alive && !node.removed);
    const node = this.#pick(down);
    if (node === null) return;
    this.story.push(`start ${node.nodeId}`);
    await this.#cluster.world.until(node.start(), 90_000).catch((error: unknown) => {
      this.story.push(String(error));
      node.end();
    });
  }

  async #isolate(): Promise<void> {
    const node = this.#pick(this.#members());
    if (node === null) return;
    this.#cluster.network.isolate(node.nodeId);
    this.story.push(`isolate ${node.nodeId}`);
  }

  async #heal(): Promise<void> {
    this.#cluster.network.heal();
    this.story.push("heal");
  }

  async #join(): Promise<void> {
    const node = this.#pick(this.#members());
    if (node === null || this.#cluster.nodes.size === nodesMax) return;
    const joined = await this.#cluster.tryJoining(node);
    this.story.push(`join through ${node.nodeId}: ${joined}`);
  }

  /** Of a group of three that has all of its replicas: what one has lost, the others have. */
  async #damage(): Promise<void> {
    const cluster = this.#cluster;
    const all = [...cluster.nodes.values()].every((node) => node.alive || node.removed);
    if (!all || !this.#mayDamage || this.#restless() !== null) return;
    const groupId = this.#pick(["controller", ...this.#said.keys()])!;
    const leader = cluster.leaderOf(groupId);
    const members = leader?.life.host.replica(groupId)?.members.voters ?? [];
    const victim = this.#pick(members.filter(({ nodeId }) => nodeId !== leader?.nodeId));
    const node = cluster.nodes.get(victim?.nodeId ?? 0);
    if (node === undefined || members.length < 3) return;
    const damaged = node.crashAndDamage(groupId);
    this.story.push(`crash ${node.nodeId}, damage ${groupId}: ${damaged}`);
    // A second one before the first is repaired would be one too many: two of three would be gone.
    this.#mayDamage = !damaged;
    await this.#restart();
    const others = () => this.#members().find((one) => one !== node) ?? null;
    const replaced = () =>
      others() !== null && incarnationIn(others()!, groupId, node) !== victim!.incarnation;
    await cluster
      .eventually("its repair", () => node.alive && replaced())
      .then(
        () => (this.#mayDamage = true),
        () => this.story.push("not repaired yet"),
      );
  }

  async #cutOneWay(): Promise<void> {
    const from = this.#pick(this.#members());
    const to = this.#pick(this.#members());
    if (from === null || to === null || from === to) return;
    this.#cluster.network.cutOneWay(from.nodeId, to.nodeId);
    this.story.push(`cut ${from.nodeId} -> ${to.nodeId}`);
  }

  async #remove(): Promise<void> {
    const through = this.#pick(this.#members());
    const victim = through === null ? null : this.#pick([...through.state.nodes.keys()]);
    if (through === null || victim === null || through.state.nodes.size < 4) return;
    const { members } = through.life;
    const outcome = await this.#cluster.world.until(members.remove(victim, { force: false }));
    this.story.push(`remove ${victim} through ${through.nodeId}: ${JSON.stringify(outcome)}`);
  }
}

function sameStates(nodes: readonly MemoryNode[]): boolean {
  return new Set(nodes.map(({ stateBytes }) => stateBytes)).size === 1;
}

/** Which incarnation of the node's replica the other one's metadata wants; null: none. */
function incarnationIn({ state }: MemoryNode, groupId: string, { nodeId }: MemoryNode) {
  if (groupId === "controller") return state.nodes.get(nodeId)?.controllerIncarnation ?? null;
  const [topicId, partition] = groupId.split("/");
  const assigned = state.topicById(topicId)?.assignments[Number(partition)] ?? [];
  return assigned.find((replica) => replica.nodeId === nodeId)?.incarnation ?? null;
}

function assignedTo(node: MemoryNode, groupId: string): boolean {
  const [topicId, partition] = groupId.split("/");
  const topic = node.state.topicById(topicId);
  const incarnation = node.incarnationOf(groupId);
  const here = topic?.assignments[Number(partition)].find(({ nodeId }) => nodeId === node.nodeId);
  return here?.incarnation === incarnation;
}
