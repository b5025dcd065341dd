// rivulet cluster: what the cluster looks like, and what an operator may ask of it.

import { systemWorld } from "../world.ts";
import { tableLines, timeText } from "./amounts.ts";
import { Client, isObject } from "./client.ts";
import {
  ClusterClient,
  partitionName,
  type ClusterAnswer,
  type GroupRow,
  type NodeRow,
  type PartitionsAnswer,
} from "./cluster-answers.ts";
import type { Call } from "./commands.ts";
import { Failure, WrongUsage } from "./failure.ts";

/** The node asks leaders that may be down: it answers within seconds. */
const patienceMs = 15_000;

export async function clusterStatus({ options, terminal }: Call): Promise<number> {
  const client = new ClusterClient(options.url, { world: systemWorld, patienceMs });
  const cluster = await client.cluster("leaders");
  const partitions = await client.partitions("leaders");
  const told = { ...cluster, partitionList: partitions.items };
  if (options.json) await terminal.out(`${JSON.stringify(told)}\n`);
  else await terminal.out(`${describe(cluster, partitions).join("\n")}\n`);
  const leaderless = partitions.items.some(({ leader }) => leader === null);
  return cluster.controller.leader === null || leaderless ? 1 : 0;
}

function describe(cluster: ClusterAnswer, partitions: PartitionsAnswer): readonly string[] {
  const { clusterId, nodeId, nodes, controller } = cluster;
  return [
    `Cluster ${clusterId}, as node ${nodeId} sees it`,
    "",
    ...nodeTable(nodes),
    "",
    `controller  ${groupText(controller)}`,
    `partitions  ${partitionsText(partitions)}`,
    ...partitions.items
      .filter((one) => one.leader === null || one.members.some(({ inSync }) => !inSync))
      .slice(0, 20)
      .map((one) => `  ${partitionName(one)}: ${groupText(one)}`),
  ];
}

function nodeTable(nodes: readonly NodeRow[]): readonly string[] {
  const head = ["node", "state", "leads", "replicas", "http", "peer", "version", "region"];
  const rows = nodes.map(({ nodeId, state, leads, replicas, http, peer, version, region }) => [
    ...[nodeId, state, leads, replicas].map(String),
    ...[http, peer, version, region].map((cell) => cell ?? "-"),
  ]);
  return tableLines([head, ...rows]);
}

/** "led by node 2 in term 4; members 1 (20 entries behind for 3.20 s), 2, 3 (learner)" */
export function groupText({ leader, term, members }: GroupRow): string {
  const led = leader === null ? "NO LEADER" : `led by node ${leader} in term ${term}`;
  if (members.length === 0) return led;
  const shown = members.map(({ nodeId, voter, inSync, lagEntries, lagMs }) => {
    const notes = [
      ...(voter ? [] : ["learner"]),
      ...(voter && !inSync ? [`${lagEntries} entries behind for ${timeText(lagMs)}`] : []),
    ];
    return notes.length === 0 ? String(nodeId) : `${nodeId} (${notes.join(", ")})`;
  });
  return `${led}; members ${shown.join(", ")}`;
}

function partitionsText({ items, total }: PartitionsAnswer): string {
  const leaderless = items.filter(({ leader }) => leader === null).length;
  const behind = items.filter(({ members }) => members.some(({ inSync }) => !inSync)).length;
  const looked = items.length < total ? ` (the first ${items.length} are looked at)` : "";
  const faults = [
    ...(leaderless > 0 ? [`${leaderless} without a leader`] : []),
    ...(behind > 0 ? [`${behind} with a replica that is behind`] : []),
  ];
  return `${total}${looked}${faults.length === 0 ? ", all led" : `; ${faults.join(", ")}`}`;
}

/** Prints the command line that starts the next node. */
export async function clusterAdd({ options, terminal }: Call): Promise<number> {
  const client = new ClusterClient(options.url, { world: systemWorld, patienceMs });
  const cluster = await client.cluster("local");
  const { nodes, nodeId } = cluster;
  const peer = nodes.find((node) => node.nodeId === nodeId)?.peer ?? null;
  if (peer === null)
    throw new Failure(
      `Node ${nodeId} runs alone. Start it with a peer port first, on the same folder:\n` +
        "  rivulet start --peer 127.0.0.1:7490    (the same --data and --http as now)",
    );
  const command = startCommand(nodes, options.url);
  if (options.json) await terminal.out(`${JSON.stringify({ command })}\n`);
  else {
    terminal.say("Start the new node with this, on its machine; it joins by itself:");
    await terminal.out(`${command}\n`);
    terminal.say("Give it the --cluster-secret-file or the --peer-tls-* files of the others.");
  }
  return 0;
}

function startCommand(nodes: readonly NodeRow[], asked: string): string {
  const doors = nodes.flatMap(({ http }) => (http === null ? [] : [new URL(http)]));
  const join = doors.length === 0 ? asked : doors[0].origin;
  const here = doors.every(({ hostname }) => /^(127\.|localhost$|\[::1\]$)/.test(hostname));
  const data = `--data ./rivulet-data-${nodes.length + 1}`;
  if (!here)
    return `rivulet start --data ./rivulet-data --http HOST:7480 --insecure --peer HOST:7490 --cluster-secret-file FILE --join ${join}`;
  const http = nextPort(doors.map(({ port }) => Number(port)));
  const peer = nextPort(nodes.flatMap((node) => node.peer?.split(":").slice(-1).map(Number) ?? []));
  return `rivulet start ${data} --http 127.0.0.1:${http} --peer 127.0.0.1:${peer} --join ${join}`;
}

/** One above the highest; 0 (any free port) when there is none above. */
function nextPort(ports: readonly number[]): number {
  const next = Math.max(...ports) + 1;
  return next > 0 && next <= 65_535 ? next : 0;
}

export async function clusterRemove({ options, positionals, terminal }: Call): Promise<number> {
  const node = nodeIdOf(positionals[0]);
  const asker = new ClusterClient(options.url, { world: systemWorld, patienceMs });
  const { nodes } = await asker.cluster("local");
  const isUp = nodes.find(({ nodeId }) => nodeId === node)?.state === "up";
  if (isUp && !options.yes && !options.force)
    throw new Failure(
      `Node ${node} is up. Removed, it can never come back with the data that it has now.\n` +
        `If that is meant: rivulet cluster remove ${node} --yes`,
    );
  const client = new Client(options.url);
  const path = `/v1/cluster/nodes/${node}${options.force ? "?force=true" : ""}`;
  // Asked again and again: each answer comes when it is removed, or after some seconds.
  while (await isDraining(client, path)) {
    terminal.say(`The replicas of node ${node} are being moved ...`);
    await terminal.pause(drainPauseMs);
  }
  if (options.json) await terminal.out(`${JSON.stringify({ removed: node })}\n`);
  else terminal.say(`Removed node ${node}. To add another one: rivulet cluster add`);
  return 0;
}

const drainPauseMs = 1_000;

async function isDraining(client: Client, path: string): Promise<boolean> {
  const { json } = await client.ask(path, { method: "DELETE" });
  return isObject(json) && json.state === "draining";
}

export async function clusterTransfer({ options, positionals, terminal }: Call): Promise<number> {
  const to = nodeIdOf(positionals[0]);
  const { ofTopic: topic, partition, controller } = options;
  if (controller ? topic !== null || partition !== null : topic === null || partition === null)
    throw new WrongUsage("What is to be led? Either --controller, or --topic TOPIC --partition N");
  const body = controller ? { controller, to } : { topic, partition, to };
  await new Client(options.url).ask("/v1/cluster/transfer", { method: "POST", body });
  const what = controller ? "the controller" : `${topic}-${partition}`;
  if (options.json) await terminal.out(`${JSON.stringify({ leader: to })}\n`);
  else terminal.say(`Node ${to} leads ${what}`);
  return 0;
}

function nodeIdOf(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new WrongUsage(`A node is named by its number (rivulet cluster status), got "${text}"`);
}
