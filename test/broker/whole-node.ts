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
import { openJournal } from "../../src/journal/open-journal.ts";
import { VirtualWorld } from "./virtual-world.ts";

export interface Node {
  readonly world: VirtualWorld;
  readonly journal: Journal;
  readonly host: Host;
  readonly broker: LocalBroker;
  /** Stops the node in order and starts it again on the same disk. */
  restart(): Promise<Node>;
}

const running = new Set<Node>();
const folders = new Set<string>();

/** A disk that can be opened anew after the one before it was closed. */
type OpenDisk = (parts: { readonly slabs: SlabPool; readonly world: VirtualWorld }) => Disk;

/** The kinds of disk that a node runs on. */
export const diskKinds = ["memory", "libsql"] as const;

export async function startNode(
  options: Partial<BrokerOptions> = {},
  kind: (typeof diskKinds)[number] = "memory",
): Promise<Node> {
  return await start(openerOf(kind), new VirtualWorld(), options);
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

async function start(
  openDisk: OpenDisk,
  world: VirtualWorld,
  options: Partial<BrokerOptions>,
): Promise<Node> {
  const slabs = createSlabPool();
  const disk = openDisk({ slabs, world });
  const journal = await openJournal({ world, disk, slabs });
  const host = createReplicaHost({ world, journal, nodeId: 1 });
  const brokerOptions = { nodeId: 1, version: "0.1.0", ...options };
  const broker = await createBroker({ world, journal, host, slabs, options: brokerOptions });
  const node: Node = {
    world,
    journal,
    host,
    broker,
    async restart() {
      running.delete(node);
      await broker.close();
      return await start(openDisk, world, options);
    },
  };
  running.add(node);
  return node;
}
