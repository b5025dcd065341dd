// How a node comes up, in order, and why in that order.
//
//   cluster   with --join: a member is found before anything is touched, so that a wrong address leaves no trace
//   disk      its writer comes up in a Worker while the rest of the program loads; it touches nothing yet
//   lock      one node a folder; the second one is told who the first is
//   identity  a folder of a newer format is refused before a byte of it is read or changed; a newcomer is let in now,
//             and remembers it before anybody hears of it
//   journal   recovery, then a barrier row: what it saw is on the disk before anybody builds on it
//   host      the Raft replicas that the journal holds; they replay on first use
//   peers     the peer port: from now on the others are heard, without whom a member cannot find its leader
//   broker    the controller leads, or follows, and knows the topics
//   door      HTTP over the broker
//   port      last: whoever reaches the port reaches a node that works
//
// It stops in the other order, after it has handed over what it leads while everybody is still served: port, door,
// broker (what is under way is answered, then flushed, then the clean-stop mark), peers, lock. Promise: a failed start
// leaves nothing running and nothing locked. Left to others: signals (process.ts).

import process from "node:process";
import type { Served, ServeOptions } from "../../edge/serve.ts";
import type { Door } from "../../edge/server/door.ts";
import type { DoorLogLine } from "../../edge/server/services.ts";
import type { Address } from "../address.ts";
import { assert } from "../assert.ts";
import type { Seat } from "../broker/create-broker.ts";
import type { LocalBroker } from "../broker/local-broker.ts";
import { createSlabPool } from "../bytes/slab-pool.ts";
import type { SlabPool } from "../bytes/slab.ts";
import type { JoinRequest } from "../cluster/membership.ts";
import type { ConfigValues } from "../cluster/topic-settings.ts";
import type { Host } from "../consensus/host.ts";
import type { ReplicaHost } from "../consensus/replica.ts";
import type { Journal } from "../journal/journal.ts";
import { systemWorld, type World } from "../world.ts";
import { confirmCluster, readModelFile, type Identity } from "./data-folder.ts";
import { handOver } from "./handover.ts";
import { silentLog, type Log } from "./logs.ts";
import { placesToJoin, settleMembership, type Membership } from "./membership.ts";
import { PeerSide } from "./peer-side.ts";
import { advertisedHttp, processNetwork, type PeerNetwork, type PeerOptions } from "./peering.ts";
import { openStorage, type FolderHeld, type Opened, type Storage } from "./storage.ts";

export interface NodeOptions {
  /** The data folder, or a disk in memory. */
  readonly storage: Storage;
  readonly http: Address;
  /** Left out or null: the node is alone. */
  readonly peer?: PeerOptions | null;
  /** How nodes meet; left out: over the network, as processes do. For clusters within one process. */
  readonly network?: PeerNetwork;
  /** What puts the door on its port; left out: edge/serve.ts. For clusters within one process. */
  readonly serve?: (options: ServeOptions) => Promise<Served>;
  readonly version: string;
  readonly corsOrigins?: readonly string[];
  /** "full": what is acknowledged is on the disk. "os": in the operating system's hands. */
  readonly durability?: "full" | "os";
  /** Broker settings under Kafka's names. */
  readonly settings?: ConfigValues;
  readonly log?: Log;
  readonly world?: World;
}

export interface RunningNode {
  /** "http://127.0.0.1:7480" */
  readonly url: string;
  readonly port: number;
  readonly broker: LocalBroker;
  /** Who the node is: what a disk in memory needs again at its next start. */
  readonly identity: Identity;
  /** From the call of startNode() until the port was bound, ms. */
  readonly startMs: number;
  /** Hands over what it leads, lets what is under way end within graceMs, flushes, writes the clean-stop mark.
   *  Idempotent. */
  stop(options: { readonly graceMs: number }): Promise<void>;
  /** For tests: ends as kill -9 ends a process, as far as that goes within one: what is under way stays so, nothing is
   *  handed over, flushed or marked as a clean stop. The caller sees to it that the node's timers and its disk are dead
   *  already. In place of stop(). */
  kill(): Promise<void>;
}

/** The parts that a start makes one after the other, and a stop ends. */
interface Parts {
  readonly options: NodeOptions;
  readonly world: World;
  readonly log: Log;
  readonly slabs: SlabPool;
  readonly opened: Opened;
  readonly membership: Membership;
}

/** What is open so far, for a start that fails. */
interface Begun {
  peers: PeerSide | null;
  broker: LocalBroker | null;
}

/** Starts a node, or tells who holds its folder. Throws Fault for a wrong setting, a newer format, what the cluster
 *  refuses and what the disk does; what the runtime throws when the port cannot be bound (`code` EADDRINUSE, EACCES). */
export async function startNode(given: NodeOptions): Promise<RunningNode | FolderHeld> {
  const options = await withPort(given);
  const { world = systemWorld, log = silentLog, storage, peer = null, version } = options;
  const began = world.monotonic();
  const network = options.network ?? (await networkOf(peer, { world, log }));
  const http = peer === null ? null : httpOf(peer, options.http);
  const needs = { world, log, version, peer, network, http };
  const places = await placesToJoin(storage, needs);
  const slabs = createSlabPool();
  const opened = await openStorage(storage, slabs, world);
  if ("heldBy" in opened) return opened;
  const begun: Begun = { peers: null, broker: null };
  try {
    const membership = await settleMembership(opened, places, needs);
    const parts: Parts = { options, world, log, slabs, opened, membership };
    const ground = await openGround(parts, network);
    const broker = await openBroker(parts, ground, begun);
    confirm(parts, broker);
    const { door, served } = await openDoor(parts, broker);
    opened.lock?.announce({ pid: process.pid, url: served.url, startedAt: world.now() });
    const startMs = world.monotonic() - began;
    const { url, port } = served;
    const ends = { ...parts, served, door, broker, host: ground.host, peers: ground.peers };
    let stopped: Promise<void> | null = null;
    const stop: RunningNode["stop"] = ({ graceMs }) => (stopped ??= stopAll(ends, graceMs));
    const { identity } = membership;
    return {
      url,
      port,
      broker,
      identity: { ...identity, clusterId: clusterIdOf(broker) },
      startMs,
      stop,
      kill: () => killAll(ends),
    };
  } catch (fault) {
    await begun.broker?.close().catch(() => undefined);
    await begun.peers?.close().catch(() => undefined);
    await opened.disk.close().catch(() => undefined);
    opened.lock?.release();
    throw fault;
  }
}

/** A member tells the others its URL before its door is open. */
async function withPort(options: NodeOptions): Promise<NodeOptions> {
  const { peer = null, http } = options;
  if (peer === null || http.port !== 0) return options;
  const { freePort } = await import("./free-port.ts");
  return { ...options, http: { ...http, port: await freePort(http.host) } };
}

async function networkOf(
  peer: PeerOptions | null,
  ground: { readonly world: World; readonly log: Log },
): Promise<PeerNetwork | null> {
  return peer === null ? null : await processNetwork(peer, ground);
}

function httpOf(peer: PeerOptions, http: Address): string | null {
  return advertisedHttp(peer, http, (peer.advertisePeer ?? peer.listen).host);
}

function confirm({ opened: { dir }, membership: { identity } }: Parts, broker: LocalBroker): void {
  if (dir !== null) confirmCluster(dir, identity, clusterIdOf(broker));
}

/** Journal, replicas, and the way to the other nodes; the peer port is not open yet. */
interface Ground {
  readonly journal: Journal;
  readonly host: Host;
  readonly peers: PeerSide | null;
}

async function openGround(parts: Parts, network: PeerNetwork | null): Promise<Ground> {
  const { options, opened, slabs, world, log, membership } = parts;
  const { identity } = membership;
  const { disk } = opened;
  // Before the journal: certificates that cannot be used end the start here.
  const peers = network === null ? null : await openPeers(parts, network);
  const { openJournal } = await import("../journal/open-journal.ts");
  const durability = options.durability ?? "full";
  const opening = openJournal({ world, disk, slabs, durability });
  // While the writer's Worker takes inventory, this thread loads the rest of the program.
  opening.catch(() => undefined);
  const [{ createReplicaHost }] = await Promise.all([
    import("../consensus/host.ts"),
    import("../broker/create-broker.ts"),
    import("../../edge/server/door.ts"),
    import("../../edge/serve.ts"),
  ]);
  const journal = await opening;
  tellDamage(journal, log);
  const ways = peers === null ? {} : peers.forHost;
  const host = createReplicaHost({ world, journal, nodeId: identity.nodeId, slabs, ...ways });
  return { journal, host, peers };
}

async function openBroker(parts: Parts, ground: Ground, begun: Begun): Promise<LocalBroker> {
  const { options, opened, slabs, world, membership } = parts;
  const { journal, host, peers } = ground;
  const { identity } = membership;
  try {
    begun.peers = peers;
    await peers?.open(host, membership.peers);
    const { createBroker } = await import("../broker/create-broker.ts");
    const { version, settings = {} } = options;
    const { dir } = opened;
    const readModel = dir === null ? {} : { readModelPath: readModelFile(dir) };
    const { nodeId } = identity;
    const brokerOptions = { nodeId, version, settings, ...readModel, ...toldOf(parts) };
    const seat = peers === null ? {} : { seat: seatOf(peers, host, identity) };
    const needs = { world, journal, host, slabs, options: brokerOptions, ...seat };
    const broker = await createBroker(needs);
    begun.broker = broker;
    peers?.follow({
      state: () => broker.controller.state,
      onChange: (listener) => void broker.controller.onChange(listener),
      leaderKnown: () => broker.controller.reachesLeader,
      join: (request) => broker.join(request as JoinRequest),
      moved: ({ moved: { nodeId, version, http = null, peer, region = null } }) => {
        const told = { version, http, peer: { host: peer.host, port: peer.port }, region };
        return broker.controller.submit({ kind: "registerNode", nodeId, ...told });
      },
      wanted: (groupId, incarnation) => broker.wanted(groupId, incarnation),
    });
    return broker;
  } catch (fault) {
    await host.close();
    await journal.close();
    throw fault;
  }
}

async function openPeers(
  { options, opened: { dir }, world, log, membership: { identity } }: Parts,
  network: PeerNetwork,
): Promise<PeerSide> {
  const { peer = null, http, version } = options;
  const { nodeId, clusterId } = identity;
  assert(peer !== null && clusterId !== null, "A member has a peer port and a cluster");
  const news = { moved: { nodeId, clusterId, version, ...placeOf(peer, http) } };
  return await PeerSide.create({ world, log, identity, network, news, dir });
}

/** What the node's row in the cluster says; a node that is alone tells nothing. */
function toldOf({ options: { peer, http }, membership: { identity } }: Parts) {
  if (peer === undefined || peer === null) return {};
  const told = placeOf(peer, http);
  return { told, ...(identity.clusterId === null ? {} : { clusterId: identity.clusterId }) };
}

function placeOf(peer: PeerOptions, http: Address) {
  const { listen, advertisePeer, region } = peer;
  const { host, port } = advertisePeer ?? listen;
  return { http: httpOf(peer, http), peer: { host, port }, region };
}

/** The replica of the controller's group is born once: by joining, or, with no voter but itself, by the first node. */
function seatOf(peers: PeerSide, host: Host, identity: Identity): Seat {
  const { calls, transport } = peers;
  // A connection alone says little: that of a process that stands still stays open for seconds.
  const reachable: Seat["reachable"] = (other) =>
    host.lives(other) &&
    transport.links().some(({ nodeId, connected }) => nodeId === other && connected);
  const isFirst = identity.nodeId === 1;
  const seat: Seat = {
    calls,
    reachable,
    connect: (others) => transport.setPeers(others),
    trouble: () => peers.trouble,
    metrics: () => peers.metrics(),
  };
  if (isFirst || host.groupIds().includes("controller")) return seat;
  return { ...seat, birth: { incarnation: identity.controllerIncarnation, voters: [] } };
}

/** Damage that stops no start must not go unsaid. */
function tellDamage(journal: Journal, log: Log): void {
  for (const { groupId, damage } of journal.replicas()) {
    for (const { file, lsn, index, baseOffset, detail } of damage) {
      const place = { file, row: lsn, group: groupId, index, offset: baseOffset };
      log.write("error", "Stored data is damaged", { ...place, detail });
    }
  }
  const { detail } = journal.health();
  if (detail !== "") log.write("warn", "The journal has something to say", { detail });
}

function clusterIdOf(broker: LocalBroker): string {
  return broker.status().clusterId;
}

async function openDoor(
  { options, slabs, world, log }: Parts,
  broker: LocalBroker,
): Promise<{ readonly door: Door; readonly served: Served }> {
  const [{ createDoor }, { serve }] = await Promise.all([
    import("../../edge/server/door.ts"),
    import("../../edge/serve.ts"),
  ]);
  const { http, corsOrigins = [], serve: serveHere = serve } = options;
  const advertised = options.peer?.advertiseHttp ?? null;
  const door = createDoor({
    broker,
    slabs,
    world,
    options: {
      hosts: http.loopback ? "loopback" : "any",
      advertisedHost: advertised === null ? null : new URL(advertised).host,
      corsOrigins,
      log: log === silentLog ? null : (line) => logAnswer(log, line),
    },
  });
  const served = await serveHere({ door, host: http.host, port: http.port });
  return { door, served };
}

function logAnswer(log: Log, { level, message, cause, ...line }: DoorLogLine): void {
  log.write(level, message, { ...line, traceparent: line.traceparent ?? undefined, cause });
}

/** Leaderships that are not gone by then go as after a crash. */
const handOverMsMax = 3_000;

/** What a running node consists of. */
interface Ends extends Parts {
  readonly served: Served;
  readonly door: Door;
  readonly broker: LocalBroker;
  readonly host: ReplicaHost;
  readonly peers: PeerSide | null;
}

async function stopAll(ends: Ends, graceMs: number): Promise<void> {
  const { served, door, broker, host, peers, opened, world, log } = ends;
  if (peers !== null) {
    const { handed, kept } = await handOver(host, world, Math.min(graceMs, handOverMsMax));
    if (handed + kept > 0) log.write("info", "Handed over what this node led", { handed, kept });
  }
  await served.stop({ graceMs });
  door.close();
  await broker.close();
  await peers?.close();
  opened.lock?.release();
}

/** Sockets, files and Workers are let go as the kernel would take them; the rest is left to the garbage collector. */
async function killAll({ served, broker, peers, opened }: Ends): Promise<void> {
  await Promise.all([peers?.close(), served.stop({ graceMs: 0 })]);
  await broker.abandon();
  await opened.disk.close();
  opened.lock?.release();
}
