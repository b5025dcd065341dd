// rivulet topics: list, create, describe, alter, delete.

import type { Call } from "./commands.ts";
import { plural } from "./amounts.ts";
import { Client, isObject, segment } from "./client.ts";
import { Failure } from "./failure.ts";
import { nameValues } from "./name-value.ts";

/** The members of a topic that these commands print; the answer may hold more. */
interface Topic {
  readonly name: string;
  readonly topicId: string;
  readonly partitions: number;
  readonly replicationFactor: number;
}

interface Partition {
  readonly partition: number;
  readonly leader: number | null;
  readonly logStartOffset: number;
  readonly highWatermark: number;
}

/** One page of a list asks for this many. */
const pageSize = 1_000;

export async function listTopics({ options, terminal }: Call): Promise<number> {
  const client = new Client(options.url);
  let count = 0;
  for await (const topic of allTopics(client, options)) {
    count++;
    const line = options.json
      ? JSON.stringify(topic)
      : [topic.name, plural(topic.partitions, "partition"), `x${topic.replicationFactor}`].join(
          "\t",
        );
    await terminal.out(`${line}\n`);
  }
  if (count === 0 && !options.json)
    terminal.say("There are no topics. Make one: rivulet topics create NAME");
  return 0;
}

async function* allTopics(client: Client, options: Call["options"]): AsyncGenerator<Topic> {
  let after: string | null = null;
  do {
    const query = new URLSearchParams({ limit: String(pageSize) });
    if (after !== null) query.set("after", after);
    if (options.prefix !== null) query.set("prefix", options.prefix);
    if (options.internal) query.set("internal", "true");
    const { json } = await client.ask(`/v1/topics?${query}`);
    const page = json as { readonly items: readonly Topic[]; readonly next: string | null };
    yield* page.items;
    after = page.next;
  } while (after !== null);
}

export async function createTopic({ options, positionals, terminal }: Call): Promise<number> {
  const [name] = positionals;
  const { json } = await new Client(options.url).ask("/v1/topics", {
    method: "POST",
    body: {
      name,
      ...(options.partitions === null ? {} : { partitions: options.partitions }),
      ...(options.replicationFactor === null
        ? {}
        : { replicationFactor: options.replicationFactor }),
      ...(options.set.length === 0 ? {} : { configs: nameValues(options.set, "--set") }),
    },
  });
  const topic = json as Topic;
  if (options.json) await terminal.out(`${JSON.stringify(topic)}\n`);
  else terminal.say(`Created ${topic.name} with ${plural(topic.partitions, "partition")}`);
  return 0;
}

export async function describeTopic({ options, positionals, terminal }: Call): Promise<number> {
  const client = new Client(options.url);
  const path = `/v1/topics/${segment(positionals[0])}`;
  const topic = (await client.ask(path)).json as Topic;
  const configs = itemsOf((await client.ask(`${path}/configs`)).json);
  const listed = (await client.ask(`${path}/partitions`)).json;
  const partitions = itemsOf(listed) as unknown as readonly Partition[];
  if (options.json) {
    await terminal.out(
      `${JSON.stringify({ ...topic, configList: configs, partitionList: partitions })}\n`,
    );
    return 0;
  }
  await terminal.out(`${describe(topic, partitions, configs)}\n`);
  return 0;
}

function describe(
  topic: Topic,
  partitions: readonly Partition[],
  configs: readonly Readonly<Record<string, unknown>>[],
): string {
  return [
    topic.name,
    `  id           ${topic.topicId}`,
    `  partitions   ${topic.partitions}, each on ${plural(topic.replicationFactor, "node")}`,
    ...configs
      .filter(({ source }) => source === "topic")
      .map((config) => `  ${String(config.name)} = ${String(config.value)}`),
    "  partition  leader  first offset  end",
    ...partitions.map((one) =>
      [
        `  ${String(one.partition).padEnd(9)}`,
        String(one.leader).padEnd(6),
        String(one.logStartOffset).padEnd(12),
        String(one.highWatermark),
      ].join("  "),
    ),
  ].join("\n");
}

/** Items of a list answer. */
function itemsOf(json: unknown): readonly Readonly<Record<string, unknown>>[] {
  return isObject(json) && Array.isArray(json.items) ? json.items.filter(isObject) : [];
}

export async function alterTopic({ options, positionals, terminal }: Call): Promise<number> {
  const [name] = positionals;
  const changes = {
    ...nameValues(options.set, "--set"),
    ...Object.fromEntries(options.reset.map((config) => [config, null])),
  };
  const changesConfigs = Object.keys(changes).length > 0;
  if (options.partitions === null && !changesConfigs)
    throw new Failure("Nothing to alter: give --partitions N, --set NAME=VALUE or --reset NAME");
  const client = new Client(options.url);
  const path = `/v1/topics/${segment(name)}`;
  let topic: unknown = null;
  if (changesConfigs)
    topic = (await client.ask(`${path}/configs`, { method: "PATCH", body: changes })).json;
  if (options.partitions !== null) {
    const body = { partitions: options.partitions };
    topic = (await client.ask(path, { method: "PATCH", body })).json;
  }
  if (options.json) await terminal.out(`${JSON.stringify(topic)}\n`);
  else terminal.say(`Altered ${name}`);
  return 0;
}

export async function deleteTopic({ options, positionals, terminal }: Call): Promise<number> {
  const [name] = positionals;
  const path = `/v1/topics/${segment(name)}`;
  await new Client(options.url).ask(path, { method: "DELETE" });
  if (options.json) await terminal.out(`${JSON.stringify({ deleted: name })}\n`);
  else terminal.say(`Deleted ${name}`);
  return 0;
}
