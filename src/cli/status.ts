// rivulet status: what a node says of itself; --watch is another command behind the same word (watch.ts).

import { byteText } from "./amounts.ts";
import { Client, isObject } from "./client.ts";
import type { Call } from "./commands.ts";

/** Numbers of /metrics that tell a person something, and what to call them. */
const shown: readonly (readonly [metric: string, label: string, text: (n: number) => string])[] = [
  ["rivulet_topics", "topics", String],
  ["rivulet_partitions", "partitions", String],
  ["rivulet_journal_damage", "known damage", String],
  ["rivulet_journal_used_bytes", "on disk", byteText],
  ["rivulet_disk_free_bytes", "disk free", byteText],
];

export async function status(call: Call): Promise<number> {
  const { options, terminal } = call;
  if (options.watch) return await (await import("./watch.ts")).watch(call);
  const client = new Client(options.url);
  const { json, headers } = await client.ask("/readyz", { accept: [503] });
  const answer = isObject(json) ? json : {};
  const metrics = readMetrics(await (await client.send("/metrics")).text());
  const cluster = await clusterOf(client);
  const told = {
    url: options.url,
    ready: answer.ready === true,
    reason: typeof answer.reason === "string" ? answer.reason : null,
    version: headers.get("rivulet-version"),
    node: headers.get("rivulet-node"),
    term: headers.get("rivulet-term"),
    cluster,
    ...Object.fromEntries(shown.map(([metric]) => [camel(metric), metrics.get(metric) ?? null])),
  };
  if (options.json) await terminal.out(`${JSON.stringify(told)}\n`);
  else await terminal.out(`${forPerson(told, metrics)}\n`);
  return told.ready ? 0 : 1;
}

function forPerson(
  told: {
    readonly url: string;
    readonly ready: boolean;
    readonly reason: string | null;
    readonly version: string | null;
    readonly node: string | null;
    readonly cluster: Neighbours | null;
  },
  metrics: ReadonlyMap<string, number>,
): string {
  const state = told.ready ? "is ready" : `is not ready: ${told.reason ?? "it does not say why"}`;
  const rows = shown.flatMap(([metric, label, text]) => {
    const value = metrics.get(metric);
    return value === undefined ? [] : [`  ${label.padEnd(14)} ${text(value)}`];
  });
  return [
    `Node ${told.node ?? "?"} at ${told.url} ${state}`,
    `  version        ${told.version ?? "?"}`,
    ...(told.cluster === null ? [] : [`  cluster        ${clusterText(told.cluster)}`]),
    ...rows,
  ].join("\n");
}

/** The cluster as the node sees it by itself. */
interface Neighbours {
  readonly clusterId: unknown;
  readonly nodes: number;
  /** Node ids that it does not reach. */
  readonly down: readonly number[];
}

/** null: a node of an older version. */
async function clusterOf(client: Client): Promise<Neighbours | null> {
  const headers = { "rivulet-consistency": "local" };
  const { json } = await client.ask("/v1/cluster", { headers, accept: [404, 503] });
  if (!isObject(json) || !Array.isArray(json.nodes)) return null;
  const nodes = json.nodes.filter(isObject);
  const down = nodes.filter(({ state }) => state === "down").map(({ nodeId }) => Number(nodeId));
  return { clusterId: json.clusterId, nodes: nodes.length, down };
}

function clusterText({ nodes, down }: Neighbours): string {
  if (nodes === 1) return "alone";
  const away = down.length === 0 ? "all are up" : `DOWN: ${down.join(", ")}`;
  return `${nodes} nodes, ${away}`;
}

/** Samples without labels of a Prometheus text page. */
function readMetrics(page: string): ReadonlyMap<string, number> {
  const samples = page.split("\n").map((line) => /^([a-z_]+) (\S+)$/.exec(line));
  return new Map(
    samples.flatMap((sample) => (sample === null ? [] : [[sample[1], Number(sample[2])] as const])),
  );
}

function camel(metric: string): string {
  return metric
    .replace(/^rivulet_/, "")
    .replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}
