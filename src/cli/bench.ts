// rivulet bench: how fast a person's own node is, from where they stand.
//
//   plan -> topic -> write -> read -> tail -> table, topic deleted
//
// Promise: it writes into a topic of its own and deletes it at the end, also after Ctrl-C or a failure; a topic that
// was there is written to only with --yes, and stays. What was measured is printed however it ends. Left to others:
// what is measured (bench-phases.ts), its bounds (bench-plan.ts, bench-run.ts).

import { systemWorld } from "../world.ts";
import { phases } from "./bench-phases.ts";
import { planOf, writes, type BenchPlan } from "./bench-plan.ts";
import { benchJson, benchTable } from "./bench-report.ts";
import { PhaseRun, type BenchGround, type PhaseFigures } from "./bench-run.ts";
import { Client, segment } from "./client.ts";
import type { Call } from "./commands.ts";
import { Failure } from "./failure.ts";
import { listenForInterrupt } from "./interrupt.ts";

export async function bench({ options, terminal }: Call): Promise<number> {
  const plan = planOf(options);
  const client = new Client(options.url);
  const nodeVersion = (await client.ask("/livez")).headers.get("rivulet-version");
  const topic = await openTopic(client, plan);
  const interrupt = listenForInterrupt(systemWorld);
  try {
    const measured = await measureAll({
      plan,
      client,
      path: topic.path,
      world: systemWorld,
      interrupted: interrupt.signal,
      pause: (ms) => terminal.pause(ms),
      progress: (line) => terminal.progress(line),
    });
    const interrupted = interrupt.signal.aborted;
    const failure = measured.failure?.message ?? null;
    const told = { url: options.url, nodeVersion, topic: topic.name, interrupted, failure };
    const result = { ...told, plan, phases: measured.figures };
    const text = options.json ? JSON.stringify(benchJson(result)) : benchTable(result);
    if (options.json || result.phases.length > 0) await terminal.out(`${text}\n`);
    if (measured.failure !== null) throw measured.failure;
    return interrupt.exitCode() ?? 0;
  } finally {
    if (topic.own) await deleteTopic(client, topic, terminal);
    interrupt.release();
  }
}

interface BenchTopic {
  readonly name: string;
  /** "/v1/topics/NAME" */
  readonly path: string;
  /** The bench made it, and deletes it. */
  readonly own: boolean;
}

/** A topic of the bench's own, or the one that a person named. Throws Failure where it would write unasked. */
async function openTopic(client: Client, plan: BenchPlan): Promise<BenchTopic> {
  const name = plan.topic ?? `rivulet-bench-${hex(systemWorld.randomBytes(4))}`;
  const path = `/v1/topics/${segment(name)}`;
  if (plan.topic !== null) {
    const found = await client.ask(path, { accept: [404] });
    const there = found.status === 200;
    if (there && writes(plan) && !plan.confirmed)
      throw new Failure(
        `The topic ${name} is there already, and a bench would fill it. If that is meant: --yes.\n` +
          "Only reading it: --only read. A topic of the bench's own: leave out --topic",
      );
    if (there) return { name, path, own: false };
  }
  // A name that somebody takes between the question and this is a 409, and a failure.
  await client.ask("/v1/topics", { method: "POST", body: { name } });
  return { name, path, own: true };
}

/** The phases one after another, until one fails or Ctrl-C comes. */
async function measureAll(ground: BenchGround): Promise<{
  readonly figures: readonly PhaseFigures[];
  readonly failure: Failure | null;
}> {
  const figures: PhaseFigures[] = [];
  for (const phase of ground.plan.phases) {
    if (ground.interrupted.aborted) break;
    const measured = await new PhaseRun(ground, phase).measure(phases[phase]);
    figures.push(measured.figures);
    if (measured.thrown instanceof Failure) return { figures, failure: measured.thrown };
    if (measured.thrown !== null) throw measured.thrown;
  }
  return { figures, failure: null };
}

/** A topic that cannot be deleted must not stay unnoticed. */
async function deleteTopic(
  client: Client,
  { name, path }: BenchTopic,
  terminal: Call["terminal"],
): Promise<void> {
  try {
    await client.ask(path, { method: "DELETE", accept: [404] });
  } catch (fault) {
    if (!(fault instanceof Failure)) throw fault;
    terminal.say(`The topic ${name} is still there. Delete it: rivulet topics delete ${name}`);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
