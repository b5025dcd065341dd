// How a broker comes up, in order, and why in that order.
//
//   settings    a wrong one stops the start before anything is touched
//   controller  leads and has replayed the metadata: only now is it known which topics there are
//   node        the cluster gets its id at its very first start; every start registers the node
//   leftovers   replicas of deleted topics that a crash left behind are dropped, behind the first answers
//   read model  is filled in a Worker, and nobody waits for it
//   retention   begins its rounds
//
// Partitions open on first use, so that a start costs the same with one of them and with thousands.

import { parseBrokerSettings, type BrokerSettings } from "../cluster/broker-settings.ts";
import type { Change } from "../cluster/cluster-state.ts";
import type { Command } from "../cluster/commands.ts";
import { Controller } from "../cluster/controller.ts";
import { ReadModel } from "../cluster/read-model.ts";
import type { ConfigValues } from "../cluster/topic-settings.ts";
import { uuidV4 } from "../cluster/uuid.ts";
import type { ReplicaHost } from "../consensus/replica.ts";
import type { SlabPool } from "../bytes/slab.ts";
import { Fault } from "../errors.ts";
import type { Journal } from "../journal/journal.ts";
import { limits } from "../limits.ts";
import type { World } from "../world.ts";
import { ClusterView } from "./cluster-view.ts";
import { Fences } from "./fences.ts";
import { Fetching } from "./fetch.ts";
import { HostedLogs } from "./hosted-logs.ts";
import { KeyCounts } from "./key-counts.ts";
import { LocalBroker } from "./local-broker.ts";
import { Offsets } from "./offsets.ts";
import type { PartitionLogs } from "./partition-log.ts";
import { Producing } from "./produce.ts";
import { ProducerIds } from "./producer-ids.ts";
import { Retention } from "./retention.ts";
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
  /** Broker settings under Kafka's names (broker-settings.ts). */
  readonly settings?: ConfigValues;
  /** Long polls at once; limits.waitersMax when left out. */
  readonly waitersMax?: number;
  /** File of the read model (state.db); left out: there is none. */
  readonly readModelPath?: string;
}

/** The broker over an open journal and host, both of which it closes at the end. Throws Fault invalid_config for a wrong
 *  setting, and what the journal throws. */
export async function createBroker(needs: {
  readonly world: World;
  readonly journal: Journal;
  readonly host: ReplicaHost;
  readonly slabs: SlabPool;
  readonly options: BrokerOptions;
}): Promise<LocalBroker> {
  const { replicaLagMsMax } = settingsOrFault(needs.options.settings ?? {});
  const { nodeId } = needs.options;
  const logs = new HostedLogs(needs, { nodeId, lagMsMax: replicaLagMsMax, readWaitMs });
  return await startBroker({ ...needs, logs });
}

/** createBroker() over other logs, for tests. */
export async function startBroker(needs: {
  readonly world: World;
  readonly journal: Journal;
  readonly host: ReplicaHost;
  readonly logs: PartitionLogs;
  readonly options: BrokerOptions;
}): Promise<LocalBroker> {
  const { world, journal, host, logs, options } = needs;
  const settings = settingsOrFault(options.settings ?? {});

  // The controller tells of changes from the first replayed command on; topics exist when the replay is over.
  const listeners: ((change: Change) => void)[] = [];
  const controller = await Controller.open(host, (change) => {
    for (const listener of listeners) listener(change);
  });
  const topics = new Topics(() => controller.state, logs, settings.topicDefaults);
  listeners.push((change) => topics.changed(change));

  await introduceNode(controller, world, options);
  void dropLeftovers(controller, logs);

  const readModel = openReadModel(options.readModelPath, world, controller);
  listeners.push((change) => readModel?.changed(change));

  const room = new WaitRoom(options.waitersMax ?? limits.waitersMax);
  const retention = new Retention({ world, settings, controller, topics, logs, journal });
  retention.start();

  const { nodeId, version } = options;
  return new LocalBroker({
    world,
    journal,
    host,
    controller,
    topics,
    admin: new TopicAdmin({ world, controller, topics, settings, journal, nodeId }),
    producing: new Producing(world, topics),
    fetching: new Fetching(world, topics, room),
    offsets: new Offsets(topics, logs),
    fences: new Fences(topics),
    keyCounts: new KeyCounts(world, topics),
    producerIds: new ProducerIds(controller),
    retention,
    cluster: new ClusterView({ controller, topics, nodeId }),
    room,
    readModel,
    nodeId,
    version,
  });
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

/** Gives the cluster its id once, and writes the node's row when it is new or its version has changed. */
async function introduceNode(
  controller: Controller,
  world: World,
  { nodeId, version }: BrokerOptions,
): Promise<void> {
  const { clusterId, nodes } = controller.state;
  const commands: Command[] = [];
  if (clusterId === null) commands.push({ kind: "formatCluster", clusterId: uuidV4(world) });
  if (nodes.get(nodeId)?.version !== version)
    commands.push({ kind: "registerNode", nodeId, version });
  // Together, so that they share one flush.
  const outcomes = await Promise.all(commands.map((command) => controller.submit(command)));
  for (const outcome of outcomes) if (!outcome.ok) throw new Fault(outcome.code, outcome.detail);
}

/** A crash between a deletion's commit and the drop of its replicas leaves them behind: named by the controller, and
 *  only those are dropped. A replica that no record names stays, whatever it is. */
async function dropLeftovers(controller: Controller, logs: PartitionLogs): Promise<void> {
  const deleted = Array.from(controller.state.deleted.values());
  for (const { topicId, partitions } of deleted)
    for (let partition = 0; partition < partitions; partition += 1)
      await logs.remove(`${topicId}/${partition}`).catch(() => undefined);
}
