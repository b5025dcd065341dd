// How a broker comes up, in order, and why in that order.
//
//   settings    a wrong one stops the start before anything is touched
//   controller  leads (among others: follows) and has replayed the metadata: now it is known which topics there are
//   node        the cluster gets its id at its very first start; every start registers the node
//   leftovers   replicas of deleted topics that a crash left behind are dropped, behind the first answers
//   read model  is filled in a Worker, and nobody waits for it
//   retention   begins its rounds
//   movers      in a cluster: what brings about the placement that the metadata wants
//   calls       in a cluster, last: other nodes are answered (until then: that this node leads nothing)
//
// Partitions open on first use, so that a start costs the same with one of them and with thousands.

import { placeOf } from "../cluster/birth.ts";
import { parseBrokerSettings, type BrokerSettings } from "../cluster/broker-settings.ts";
import type { Change } from "../cluster/cluster-state.ts";
import type { NodeTold } from "../cluster/commands.ts";
import { Controller } from "../cluster/controller.ts";
import { introduceNode } from "../cluster/introduce.ts";
import { MemberService } from "../cluster/member-service.ts";
import { Planner } from "../cluster/planner.ts";
import { ReadModel } from "../cluster/read-model.ts";
import { Reconciler } from "../cluster/reconciler.ts";
import type { ConfigValues } from "../cluster/topic-settings.ts";
import type { Birth, ReplicaHost } from "../consensus/replica.ts";
import type { SlabPool } from "../bytes/slab.ts";
import { Fault } from "../errors.ts";
import type { Journal } from "../journal/journal.ts";
import { limits } from "../limits.ts";
import type { Calls } from "../transport/calls.ts";
import type { Peer } from "../transport/transport.ts";
import type { World } from "../world.ts";
import { Assignments } from "./assignments.ts";
import { ClusterView } from "./cluster-view.ts";
import { Fences } from "./fences.ts";
import { Fetching } from "./fetch.ts";
import { HostedLogs } from "./hosted-logs.ts";
import { KeyCounts } from "./key-counts.ts";
import { LocalBroker } from "./local-broker.ts";
import { LogServer } from "./log-server.ts";
import { Offsets } from "./offsets.ts";
import type { PartitionLogs } from "./partition-log.ts";
import { Producing } from "./produce.ts";
import { ProducerIds } from "./producer-ids.ts";
import { Retention } from "./retention.ts";
import { RoutedLogs } from "./routed-logs.ts";
import { TopicAdmin } from "./topic-admin.ts";
import { Topics } from "./topics.ts";
import { WaitRoom } from "./wait-room.ts";

/** A linearizable read waits so long for a majority, ms. */
const readWaitMs = 10_000;

export interface BrokerOptions {
  /** From 1. The host must know the node by the same id. */
  readonly nodeId: number;
  /** Of the program, for status and the node's row. */
  readonly version: string;
  /** The id that a cluster without one gets; left out: a fresh one. */
  readonly clusterId?: string;
  /** Where this node is reached, for its row. */
  readonly told?: Omit<NodeTold, "version">;
  /** Broker settings under Kafka's names (broker-settings.ts). */
  readonly settings?: ConfigValues;
  /** Long polls at once; limits.waitersMax when left out. */
  readonly waitersMax?: number;
  /** File of the read model (state.db); left out: there is none. */
  readonly readModelPath?: string;
}

/** What makes this node one of several. */
export interface Seat {
  readonly calls: Calls;
  /** Whether packets reach the node now. */
  readonly reachable: (nodeId: number) => boolean;
  /** Of the peer port, under the names that /metrics shows. */
  readonly metrics?: () => Readonly<Record<string, number>>;
  /** Asked when the controller has no leader: why this node may be cut off, in words; null: nothing is known. */
  readonly trouble?: () => string | null;
  /** How the controller's replica of a node that has just joined begins; left out: it is there, or this is the first. */
  readonly birth?: Birth;
  /** Connects with these nodes: for a node that has lost its metadata, and with it who joined. */
  readonly connect?: (peers: readonly Peer[]) => void;
}

interface Needs {
  readonly world: World;
  readonly journal: Journal;
  readonly host: ReplicaHost;
  readonly options: BrokerOptions;
}

/** The broker over an open journal and host, both of which it closes at the end. Without a seat this node is alone.
 *  Throws Fault invalid_config for a wrong setting, and what the journal and the controller throw. */
export async function createBroker(
  needs: Needs & { readonly slabs: SlabPool; readonly seat?: Seat },
): Promise<LocalBroker> {
  const { world, slabs, seat, options } = needs;
  const settings = settingsOrFault(options.settings ?? {});
  const { nodeId } = options;
  const { replicaLagMsMax } = settings;
  const hosted = new HostedLogs(needs, { nodeId, lagMsMax: replicaLagMsMax, readWaitMs });
  if (seat === undefined) return await startBroker({ ...needs, logs: hosted });
  const server = new LogServer(seat.calls);
  const { listen, controller } = await openController({ world, nodeId, host: needs.host, seat });
  const assignments = new Assignments(() => controller.state, nodeId);
  const { calls } = seat;
  const logs = new RoutedLogs({ world, nodeId, calls, hosted, assignments });
  const routing = { logs, server };
  const built = await build({ ...needs, settings, logs, routing, seat, controller, listen });
  server.open({ world, nodeId, slabs, hosted, logs, assignments, ...built });
  return built.broker;
}

/** createBroker() of a node alone, over other logs, for tests. */
export async function startBroker(
  needs: Needs & { readonly logs: PartitionLogs },
): Promise<LocalBroker> {
  const { world, host, options } = needs;
  const settings = settingsOrFault(options.settings ?? {});
  const { nodeId } = options;
  const { listen, controller } = await openController({ world, nodeId, host, seat: null });
  const parts = { ...needs, settings, routing: null, seat: null, controller, listen };
  return (await build(parts)).broker;
}

type Listen = (listener: (change: Change) => void) => void;

/** The controller tells of changes from the first replayed command on; topics exist when the replay is over. */
async function openController(of: {
  readonly world: World;
  readonly nodeId: number;
  readonly host: ReplicaHost;
  readonly seat: Seat | null;
}): Promise<{ readonly controller: Controller; readonly listen: Listen }> {
  const { world, nodeId, host, seat } = of;
  const listeners: ((change: Change) => void)[] = [];
  const listen: Listen = (listener) => void listeners.push(listener);
  const tell = (change: Change): void => {
    for (const listener of listeners) listener(change);
  };
  const place = seat === null ? null : { world, nodeId, ...seat };
  return { controller: await Controller.open(host, tell, place), listen };
}

interface BuildNeeds extends Needs {
  readonly settings: BrokerSettings;
  readonly logs: PartitionLogs;
  /** In a cluster: the same logs, and who answers other nodes about them. */
  readonly routing: { readonly logs: RoutedLogs; readonly server: LogServer } | null;
  readonly seat: Seat | null;
  readonly controller: Controller;
  readonly listen: Listen;
}

async function build(needs: BuildNeeds): Promise<{
  readonly broker: LocalBroker;
  readonly controller: Controller;
  readonly cluster: ClusterView;
}> {
  const { world, options, settings, logs, seat, controller, listen } = needs;
  const { nodeId, version, told = {}, clusterId } = options;
  const topics = new Topics(() => controller.state, logs, settings.topicDefaults);
  listen((change) => topics.changed(change));

  const named = clusterId === undefined ? {} : { clusterId };
  await introduceNode({ controller, world, nodeId, told: { ...told, version }, ...named });
  void dropLeftovers(controller, logs);

  const readModel = openReadModel(options.readModelPath, world, controller);
  listen((change) => readModel?.changed(change));

  const retention = new Retention({ ...needs, topics, nodeId });
  retention.start();

  const reachable = (other: number): boolean =>
    other === nodeId || (seat !== null && seat.reachable(other));
  const lagMsMax = settings.replicaLagMsMax;
  const peers = needs.routing?.logs.peers ?? null;
  const cluster = new ClusterView({ controller, topics, logs, nodeId, lagMsMax, reachable, peers });
  const broker = new LocalBroker({
    ...needs,
    ...servicesOf(needs, topics),
    topics,
    admin: new TopicAdmin({ ...needs, topics, reachable }),
    retention,
    cluster,
    members: new MemberService({ world, controller, nodeId, reachable }),
    movers: moversOf(needs),
    peerMetrics: () => seat?.metrics?.() ?? {},
    trouble: () => seat?.trouble?.() ?? null,
    readModel,
    nodeId,
    version,
  });
  return { broker, controller, cluster };
}

/** What takes requests about records. */
function servicesOf({ world, options, logs, controller }: BuildNeeds, topics: Topics) {
  const room = new WaitRoom(options.waitersMax ?? limits.waitersMax);
  return {
    room,
    producing: new Producing(world, topics),
    fetching: new Fetching(world, topics, room),
    offsets: new Offsets(topics, logs),
    fences: new Fences(topics),
    keyCounts: new KeyCounts(world, topics),
    producerIds: new ProducerIds(controller),
  };
}

/** What brings about the placement that the metadata wants; a node alone has nothing to move. */
function moversOf({ world, controller, host, journal, options, routing }: BuildNeeds) {
  if (routing === null) return [];
  const { nodeId } = options;
  const damaged = damagedPartitions(journal);
  const reconciled = { world, controller, host, groups: routing.logs, nodeId, damaged };
  return [new Planner({ world, controller }), new Reconciler(reconciled)];
}

/** Partition groups with damaged rows on this disk: replaced from the others. */
function damagedPartitions(journal: Journal): readonly string[] {
  const damaged = [...journal.replicas()].filter(({ damage }) => damage.length > 0);
  return damaged.map(({ groupId }) => groupId).filter((groupId) => placeOf(groupId) !== null);
}

function openReadModel(
  path: string | undefined,
  world: World,
  controller: Controller,
): ReadModel | null {
  if (path === undefined) return null;
  return new ReadModel({ world, path, state: () => controller.state });
}

function settingsOrFault(given: ConfigValues): BrokerSettings {
  const parsed = parseBrokerSettings(given);
  if (!parsed.ok) throw new Fault(parsed.code, parsed.detail);
  return parsed.settings;
}

/** A crash between a deletion's commit and the drop of its replicas leaves them behind: named by the controller, and
 *  only those are dropped. A replica that no record names stays, whatever it is. */
async function dropLeftovers(controller: Controller, logs: PartitionLogs): Promise<void> {
  const deleted = Array.from(controller.state.deleted.values());
  for (const { topicId, partitions } of deleted)
    for (let partition = 0; partition < partitions; partition += 1)
      await logs.remove(`${topicId}/${partition}`).catch(() => undefined);
}
