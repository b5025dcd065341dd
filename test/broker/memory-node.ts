// A whole node below the doors: disk, journal, host, partitions, broker, all real; the clock stands still.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBroker, type BrokerOptions } from "../../src/broker/create-broker.ts";
import type { LocalBroker } from "../../src/broker/local-broker.ts";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
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

export async function startNode(options: Partial<BrokerOptions> = {}): Promise<Node> {
  const dir = mkdtempSync(join(tmpdir(), "rivulet-broker-"));
  folders.add(dir);
  return await start(dir, new VirtualWorld(), options);
}

/** Ends every node that a test has started. */
export async function stopNodes(): Promise<void> {
  for (const node of running) await node.broker.close();
  running.clear();
  for (const dir of folders) rmSync(dir, { recursive: true, force: true });
  folders.clear();
}

async function start(
  dir: string,
  world: VirtualWorld,
  options: Partial<BrokerOptions>,
): Promise<Node> {
  const slabs = createSlabPool();
  const disk = new LibsqlDisk({ dir, slabs, world });
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
      return await start(dir, world, options);
    },
  };
  running.add(node);
  return node;
}
