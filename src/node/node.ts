// How a node comes up, in order, and why in that order.
//
//   disk      its writer comes up in a Worker while the rest of the program loads; it touches nothing yet
//   lock      one node a folder; the second one is told who the first is
//   identity  a folder of a newer format is refused before a byte of it is read or changed
//   journal   recovery, then a barrier row: what it saw is on the disk before anybody builds on it
//   host      the Raft replicas that the journal holds; they replay on first use
//   broker    the controller leads and knows the topics
//   door      HTTP over the broker
//   port      last: whoever reaches the port reaches a node that works
//
// It stops in the other order: port, door, broker (what is under way is answered, then flushed, then the clean-stop
// mark), lock. Promise: a failed start leaves nothing running and nothing locked. Left to others: signals (process.ts).

import process from "node:process";
import type { Served } from "../../edge/serve.ts";
import type { Door } from "../../edge/server/door.ts";
import type { DoorLogLine } from "../../edge/server/services.ts";
import type { LocalBroker } from "../broker/local-broker.ts";
import { createSlabPool } from "../bytes/slab-pool.ts";
import type { SlabPool } from "../bytes/slab.ts";
import type { ConfigValues } from "../cluster/topic-settings.ts";
import type { Disk } from "../journal/disk.ts";
import type { FolderLock, LockOwner } from "../journal/folder-lock.ts";
import type { Journal } from "../journal/journal.ts";
import { systemWorld, type World } from "../world.ts";
import type { Address } from "../address.ts";
import {
  confirmCluster,
  journalFolder,
  newcomer,
  openIdentity,
  readModelFile,
  type Identity,
} from "./data-folder.ts";
import { silentLog, type Log } from "./logs.ts";
import type { PeerOptions } from "./peering.ts";

export interface NodeOptions {
  /** The data folder, or a disk in memory. */
  readonly storage: { readonly dir: string } | { readonly memory: Disk };
  readonly http: Address;
  /** Left out or null: the node is alone. */
  readonly peer?: PeerOptions | null;
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
  /** From the call of startNode() until the port was bound, ms. */
  readonly startMs: number;
  /** Lets what is under way end within graceMs, flushes, writes the clean-stop mark. Idempotent. */
  stop(options: { readonly graceMs: number }): Promise<void>;
}

/** Another node has the folder. */
export interface FolderHeld {
  readonly heldBy: LockOwner | null;
}

interface Opened {
  readonly disk: Disk;
  readonly lock: FolderLock | null;
  readonly identity: Identity;
  readonly dir: string | null;
}

/** Starts a node, or tells who holds its folder. Throws Fault for a wrong setting, a newer format and what the disk
 *  does; what the runtime throws when the port cannot be bound (`code` EADDRINUSE, EACCES). */
export async function startNode(options: NodeOptions): Promise<RunningNode | FolderHeld> {
  const world = options.world ?? systemWorld;
  const began = world.monotonic();
  const slabs = createSlabPool();
  const opened = await openStorage(options, slabs, world);
  if ("heldBy" in opened) return opened;
  let broker: LocalBroker | null = null;
  try {
    broker = await openBroker({ options, opened, slabs, world });
    if (opened.dir !== null) confirmCluster(opened.dir, opened.identity, clusterIdOf(broker));
    const { door, served } = await openDoor({ options, broker, slabs, world });
    opened.lock?.announce({ pid: process.pid, url: served.url, startedAt: world.now() });
    const startMs = world.monotonic() - began;
    const { url, port } = served;
    const parts = { served, door, broker, opened };
    let stopped: Promise<void> | null = null;
    const stop: RunningNode["stop"] = ({ graceMs }) => (stopped ??= stopAll(parts, graceMs));
    return { url, port, broker, startMs, stop };
  } catch (fault) {
    await broker?.close().catch(() => undefined);
    await opened.disk.close().catch(() => undefined);
    opened.lock?.release();
    throw fault;
  }
}

/** Lock, identity, disk. In memory there is nothing to lock, and nobody to remember. */
async function openStorage(
  { storage }: NodeOptions,
  slabs: SlabPool,
  world: World,
): Promise<Opened | FolderHeld> {
  if ("memory" in storage) {
    return { disk: storage.memory, lock: null, identity: newcomer, dir: null };
  }
  const { dir } = storage;
  // First of all: the Worker of its writer comes up while this thread loads libSQL for the lock (-7 to -20 ms).
  const { LibsqlDisk } = await import("../journal/libsql-disk.ts");
  const disk = new LibsqlDisk({ dir: journalFolder(dir), slabs, world });
  let lock: FolderLock | null = null;
  try {
    const { lockFolder } = await import("../journal/folder-lock.ts");
    const locked = lockFolder(dir);
    if ("lock" in locked) {
      lock = locked.lock;
      lock.announce({ pid: process.pid, url: "", startedAt: world.now() });
      return { disk, lock, identity: openIdentity(dir), dir };
    }
    await disk.close();
    return locked;
  } catch (fault) {
    await disk.close().catch(() => undefined);
    lock?.release();
    throw fault;
  }
}

async function openBroker(parts: {
  readonly options: NodeOptions;
  readonly opened: Opened;
  readonly slabs: SlabPool;
  readonly world: World;
}): Promise<LocalBroker> {
  const { options, opened, slabs, world } = parts;
  const { openJournal } = await import("../journal/open-journal.ts");
  const { disk, identity, dir } = opened;
  const durability = options.durability ?? "full";
  const opening = openJournal({ world, disk, slabs, durability });
  // While the writer's Worker takes inventory, this thread loads the rest of the program.
  opening.catch(() => undefined);
  const [{ createReplicaHost }, { createBroker }] = await Promise.all([
    import("../consensus/host.ts"),
    import("../broker/create-broker.ts"),
    import("../../edge/server/door.ts"),
    import("../../edge/serve.ts"),
  ]);
  const journal = await opening;
  tellDamage(journal, options.log ?? silentLog);
  const { nodeId } = identity;
  const host = createReplicaHost({ world, journal, nodeId });
  try {
    const { version, settings = {} } = options;
    const readModel = dir === null ? {} : { readModelPath: readModelFile(dir) };
    const brokerOptions = { nodeId, version, settings, ...readModel };
    return await createBroker({ world, journal, host, slabs, options: brokerOptions });
  } catch (fault) {
    await host.close();
    await journal.close();
    throw fault;
  }
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

async function openDoor(parts: {
  readonly options: NodeOptions;
  readonly broker: LocalBroker;
  readonly slabs: SlabPool;
  readonly world: World;
}): Promise<{ readonly door: Door; readonly served: Served }> {
  const { options, broker, slabs, world } = parts;
  const [{ createDoor }, { serve }] = await Promise.all([
    import("../../edge/server/door.ts"),
    import("../../edge/serve.ts"),
  ]);
  const { http, corsOrigins = [], log = silentLog } = options;
  const door = createDoor({
    broker,
    slabs,
    world,
    options: {
      hosts: http.loopback ? "loopback" : "any",
      corsOrigins,
      log: log === silentLog ? null : (line) => logAnswer(log, line),
    },
  });
  const served = await serve({ door, host: http.host, port: http.port });
  return { door, served };
}

function logAnswer(log: Log, { level, message, cause, ...line }: DoorLogLine): void {
  log.write(level, message, { ...line, traceparent: line.traceparent ?? undefined, cause });
}

async function stopAll(
  parts: {
    readonly served: Served;
    readonly door: Door;
    readonly broker: LocalBroker;
    readonly opened: Opened;
  },
  graceMs: number,
): Promise<void> {
  const { served, door, broker, opened } = parts;
  await served.stop({ graceMs });
  door.close();
  await broker.close();
  opened.lock?.release();
}
