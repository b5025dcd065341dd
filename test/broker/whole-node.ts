// A whole node below the doors: disk, journal, host, partitions, broker, all real; the clock stands still.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBroker, type BrokerOptions } from "../../src/broker/create-broker.ts";
import type { LocalBroker } from "../../src/broker/local-broker.ts";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { SlabPool } from "../../src/bytes/slab.ts";
import type { Disk } from "../../src/journal/disk.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import type { JournalSettings } from "../../src/journal/settings.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { VirtualWorld } from "./virtual-world.ts";

export interface Node {
  readonly world: VirtualWorld;
  readonly journal: Journal;
  readonly host: Host;
  readonly broker: LocalBroker;
  /** Stops the node in order and starts it again on the same disk. */
  restart(): Promise<Node>;
  /** Its disk has crashed: nobody closes it. */
  abandon(): void;
}

const running = new Set<Node>();
const folders = new Set<string>();

/** Gives the disk of each start: one that can be opened anew after the one before it was closed or crashed. */
export type OpenDisk = (parts: { readonly slabs: SlabPool; readonly world: VirtualWorld }) => Disk;

/** The kinds of disk that a node runs on. */
export const diskKinds = ["memory", "libsql"] as const;

export async function startNode(
  options: Partial<BrokerOptions> = {},
  kind: (typeof diskKinds)[number] = "memory",
): Promise<Node> {
  return await startNodeOn(openerOf(kind), { options });
}

export interface NodeSetup {
  readonly world?: VirtualWorld;
  readonly options?: Partial<BrokerOptions>;
  readonly journal?: Partial<JournalSettings>;
}

function openerOf(kind: (typeof diskKinds)[number]): OpenDisk {
  if (kind === "memory") {
    const disk = createMemoryDisk();
    return () => disk;
  }
  const dir = mkdtempSync(join(tmpdir(), "rivulet-broker-"));
  folders.add(dir);
  return (parts) => new LibsqlDisk({ dir, ...parts });
}

/** Ends every node that a test has started. */
export async function stopNodes(): Promise<void> {
  for (const node of running) await node.broker.close();
  running.clear();
  for (const dir of folders) rmSync(dir, { recursive: true, force: true });
  folders.clear();
}

/** A node on any disk. */
export async function startNodeOn(openDisk: OpenDisk, setup: NodeSetup = {}): Promise<Node> {
  const world = setup.world ?? new VirtualWorld();
  const slabs = createSlabPool();
  const disk = openDisk({ slabs, world });
  const journal = await openJournal({ world, disk, slabs, ...setup.journal });
  const host = createReplicaHost({ world, journal, nodeId: 1 });
  const options = { nodeId: 1, version: "0.1.0", ...setup.options };
  const broker = await createBroker({ world, journal, host, slabs, options });
  const node: Node = {
    world,
    journal,
    host,
    broker,
    async restart() {
      running.delete(node);
      await broker.close();
      return await startNodeOn(openDisk, { ...setup, world });
    },
    abandon: () => void running.delete(node),
  };
  running.add(node);
  return node;
}
