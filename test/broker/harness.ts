// A broker for tests, over scripted parts.

import type { TopicDescription } from "../../src/broker/broker.ts";
import { startBroker, type BrokerOptions } from "../../src/broker/create-broker.ts";
import type { LocalBroker } from "../../src/broker/local-broker.ts";
import type { Refusal } from "../../src/errors.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { ScriptedHost } from "./scripted-host.ts";
import { ScriptedLogs } from "./scripted-logs.ts";
import { VirtualWorld } from "./virtual-world.ts";

/** A journal in good health that holds what the logs hold. */
function scriptedJournal(logs: ScriptedLogs): Journal {
  return {
    health: () => ({ state: "ok", detail: "", queuedBytes: 0, oldestFlushMs: 0 }),
    metrics: () => ({}),
    close: () => Promise.resolve(),
    replicas: () => [...logs.logs.keys()].map((groupId) => ({ groupId })).values(),
  } as unknown as Journal;
}

export interface ScriptedBroker {
  readonly world: VirtualWorld;
  readonly host: ScriptedHost;
  readonly logs: ScriptedLogs;
  readonly broker: LocalBroker;
}

/** `from`: a restart over what an earlier one left. */
export async function scriptedBroker(
  options: Partial<BrokerOptions> = {},
  from: { readonly host?: ScriptedHost; readonly logs?: ScriptedLogs } = {},
): Promise<ScriptedBroker> {
  const world = new VirtualWorld();
  const host = new ScriptedHost(from.host?.logs);
  host.now = () => world.now();
  const logs = from.logs ?? new ScriptedLogs();
  const broker = await startBroker({
    world,
    journal: scriptedJournal(logs),
    host,
    logs,
    options: { nodeId: 1, version: "0.1.0", ...options },
  });
  return { world, host, logs, broker };
}

/** The value of an outcome that must not be a refusal. */
export function must<T>(outcome: T | Refusal): T {
  if (isRefusal(outcome)) throw new Error(`${outcome.code}: ${outcome.detail}`);
  return outcome;
}

function isRefusal(outcome: unknown): outcome is Refusal {
  return typeof outcome === "object" && outcome !== null && "ok" in outcome && outcome.ok === false;
}

export function configOf(topic: TopicDescription, name: string): string | undefined {
  return topic.configs.find((config) => config.name === name)?.value;
}
