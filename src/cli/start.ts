// rivulet start: a node in the foreground, from its first line to its last.

import { existsSync } from "node:fs";
import process from "node:process";
import { resolve } from "node:path";
import { assert } from "../assert.ts";
import { parseAddress, type Address } from "../address.ts";
import { createLog, type Log } from "../node/logs.ts";
import { startNode, type RunningNode } from "../node/node.ts";
import type { FolderHeld } from "../node/storage.ts";
import type { PeerOptions } from "../node/peering.ts";
import { stopWish } from "../node/process.ts";
import { Fault } from "../errors.ts";
import { optionTable, type Option } from "../options.ts";
import { nearestName } from "../cluster/nearest-name.ts";
import { version } from "../version.ts";
import { systemWorld } from "../world.ts";
import type { Call } from "./commands.ts";
import { Failure, WrongUsage } from "./failure.ts";
import { nameValues } from "./name-value.ts";
import { peerOptions } from "./peer-options.ts";

export async function start(call: Call): Promise<number> {
  const { options, terminal } = call;
  const address = addressOf(call);
  const peer = peerOptions(options);
  const settings = nameValues(options.config, "--config");
  const format = options.logFormat === "auto" ? autoFormat(call) : options.logFormat;
  const log = createLog({
    level: options.logLevel,
    format,
    world: systemWorld,
    write: (line) => terminal.say(line.slice(0, -1)),
  });
  warnOfUnknownVariables(terminal.env, log);
  warnOfUnreadFile(options.configFile, log);
  warnOfShownSecret(call, log);
  const wish = stopWish(systemWorld, log);
  const node = await Promise.race([startOrExplain(call, { address, peer, settings, log }), wish]);
  if ("why" in node) {
    // The process ends with this call: what a start had done so far is what a crash leaves, and the next one recovers.
    log.write("info", "Stopped before it was ready", { why: node.why });
    return 0;
  }
  await tellReady(call, node, peer);
  const { url, startMs } = node;
  const readyMs = Math.round(startMs);
  log.write("info", "Ready", { url, data: resolve(options.data), readyMs, pid: process.pid });
  const { why } = await wish;
  return await stop(node, { why, log, graceMs: options.stopTimeoutMs });
}

function autoFormat({ terminal }: Call): "pretty" | "json" {
  return terminal.watched ? "pretty" : "json";
}

function addressOf({ options }: Call): Address {
  const address = parseAddress(options.http);
  assert(address !== null, () => `--http was read as an address, got "${options.http}"`);
  if (!address.loopback && !options.insecure) {
    const why = "whoever reaches it could read, write and delete everything";
    throw new WrongUsage(
      `${options.http} can be reached from beyond this machine, and ${why}.\n` +
        `If the network is yours alone: rivulet start --http ${options.http} --insecure`,
    );
  }
  return address;
}

/** A misspelt variable would otherwise be a setting that silently does nothing. */
function warnOfUnknownVariables(env: Call["terminal"]["env"], log: Log): void {
  const known = Object.values<Option>(optionTable).flatMap(({ env: name }) => name ?? []);
  for (const name of Object.keys(env)) {
    if (!name.startsWith("RIVULET_") || known.includes(name)) continue;
    if (name === "RIVULET_LAUNCHER_PIPE") continue;
    log.write("warn", "Unknown variable has no effect", {
      name,
      nearest: nearestName(name, known) ?? undefined,
    });
  }
}

/** A file is read only when it is named: a folder that somebody else filled must not change a node. */
function warnOfUnreadFile(configFile: string | null, log: Log): void {
  if (configFile !== null || !existsSync("rivulet.toml")) return;
  const use = "--config-file rivulet.toml";
  log.write("warn", "There is a rivulet.toml here, and it is not read", { use });
}

/** Every user of the machine can read its processes' command lines. */
function warnOfShownSecret({ origins }: Call, log: Log): void {
  const flag = `--${optionTable.clusterSecret.flag}`;
  if (origins.get("clusterSecret")?.some(({ origin }) => origin === flag) !== true) return;
  const use = `--${optionTable.clusterSecretFile.flag} FILE`;
  log.write("warn", "The cluster's secret can be read in the list of processes", { use });
}

interface Ground {
  readonly peer: PeerOptions | null;
  readonly address: Address;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: Log;
}

async function startOrExplain(
  call: Call,
  { address, peer, settings, log }: Ground,
): Promise<RunningNode> {
  const { data, corsOrigins, durability } = call.options;
  try {
    const node = await startNode({
      storage: { dir: data },
      http: address,
      peer,
      version,
      corsOrigins,
      durability,
      settings,
      log,
    });
    if ("heldBy" in node) throw folderHeld(data, node);
    return node;
  } catch (fault) {
    throw (await peerPortTaken(peer, fault)) ?? (await portTaken(address, fault)) ?? fault;
  }
}

/** The peer port is bound before the other one, and its fault says so by its cause. */
async function peerPortTaken(peer: PeerOptions | null, fault: unknown): Promise<Failure | null> {
  const cause = fault instanceof Fault ? fault.cause : null;
  const code = cause instanceof Error && "code" in cause ? cause.code : null;
  if (peer === null || code !== "EADDRINUSE") return null;
  const { host, port } = peer.listen;
  const { portOwner } = await import("../node/port-owner.ts");
  const owner = (await portOwner(host, port)) ?? "another process";
  return new Failure(
    `Peer port ${port} of ${host} is taken by ${owner}.\n` +
      `Give this node one of its own: --peer ${host}:PORT`,
    { cause: fault },
  );
}

function folderHeld(data: string, { heldBy }: FolderHeld): Failure {
  const who = heldBy === null ? "Another process" : `A node (pid ${heldBy.pid})`;
  const since = heldBy === null ? "" : ` since ${new Date(heldBy.startedAt).toISOString()}`;
  const lines = [`${who} uses the data folder ${resolve(data)}${since}.`];
  if (heldBy !== null && heldBy.url !== "")
    lines.push(`Ask it:             rivulet status --url ${heldBy.url}`);
  if (heldBy !== null) lines.push(`Or stop it:         kill ${heldBy.pid}`);
  lines.push("Or run another one: rivulet start --data ./rivulet-data-2 --http 127.0.0.1:7481");
  return new Failure(lines.join("\n"));
}

async function portTaken(address: Address, fault: unknown): Promise<Failure | null> {
  const code = fault instanceof Error && "code" in fault ? fault.code : null;
  const { host, port } = address;
  if (code === "EACCES")
    return new Failure(`Cannot listen on ${host}:${port}: not permitted. Try a port above 1023`);
  if (code === "EADDRNOTAVAIL")
    return new Failure(`Cannot listen on ${host}:${port}: no such address on this machine`);
  if (code !== "EADDRINUSE") return null;
  const { portOwner } = await import("../node/port-owner.ts");
  const owner = (await portOwner(host, port)) ?? "another process";
  const next = port < 65_535 ? port + 1 : 0;
  return new Failure(
    `Port ${port} of ${host} is taken by ${owner}.\n` +
      `Another port: rivulet start --http ${host}:${next}\n` +
      `Any free one: rivulet start --http ${host}:0`,
    { cause: fault },
  );
}

/** What a person needs next, or one JSON object for a program that waits for it. */
async function tellReady(
  { options, terminal }: Call,
  node: RunningNode,
  peer: PeerOptions | null,
): Promise<void> {
  const data = resolve(options.data);
  const { durability } = options;
  const { url } = node;
  const configFile = options.configFile === null ? null : resolve(options.configFile);
  const readyMs = Math.round(node.startMs);
  if (options.json) {
    const { nodeId, clusterId } = node.broker.status();
    const told = {
      url,
      data,
      configFile,
      durability,
      readyMs,
      pid: process.pid,
      version,
      nodeId,
      clusterId,
    };
    return terminal.out(`${JSON.stringify(told)}\n`);
  }
  const meaning =
    durability === "full"
      ? "an answer means: on the disk"
      : "an answer means: in the system's hands";
  await terminal.out(
    [
      `Rivulet ${version} is ready in ${readyMs} ms`,
      `  URL         ${url}`,
      `  Data        ${data}`,
      ...(configFile === null ? [] : [`  Config      ${configFile}`]),
      `  Durability  ${durability} (${meaning})`,
      ...(peer === null ? [] : clusterLines(node, peer)),
      "",
      "Write a record:",
      `  curl ${url}/v1/topics/greetings/records -H 'content-type: text/plain' -d 'hello'`,
      "Watch the topic live, in another terminal:",
      `  curl -N '${url}/v1/topics/greetings/tail?from=earliest'`,
      "",
      "",
    ].join("\n"),
  );
}

/** Where this node stands among the others, and how to add one. */
function clusterLines({ broker, url }: RunningNode, { listen }: PeerOptions): readonly string[] {
  const { nodeId, clusterId } = broker.status();
  return [
    `  Node        ${nodeId} of cluster ${clusterId}`,
    `  Peers       ${listen.host}:${listen.port}`,
    `  Add a node  rivulet cluster add --url ${url}`,
  ];
}

async function stop(
  node: RunningNode,
  { why, log, graceMs }: { readonly why: string; readonly log: Log; readonly graceMs: number },
): Promise<number> {
  log.write("info", "Stopping", { why });
  const began = systemWorld.monotonic();
  await node.stop({ graceMs });
  const tookMs = Math.round(systemWorld.monotonic() - began);
  log.write("info", "Stopped", { tookMs });
  return 0;
}
