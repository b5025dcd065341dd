// What a node keeps, taken hold of: the disk, the folder's lock, who the node is.
//
// Promise: one node a folder; a folder of a newer format is refused before a byte of it is read or changed; a failed
// opening leaves nothing locked. Left to others: what is on the disk (journal), becoming somebody (membership.ts).

import process from "node:process";
import type { SlabPool } from "../bytes/slab.ts";
import type { Disk } from "../journal/disk.ts";
import type { FolderLock, LockOwner } from "../journal/folder-lock.ts";
import type { Peer } from "../transport/transport.ts";
import type { World } from "../world.ts";
import { journalFolder, newcomer, readIdentity, type Identity } from "./data-folder.ts";
import { readPeers } from "./known-peers.ts";

/** The data folder; or a disk in memory, and who the node and its peers were when it last ran on it. `through`: for tests, what stands
 *  between the journal and the folder's disk. */
export type Storage =
  | { readonly dir: string; readonly through?: (disk: Disk) => Disk }
  | { readonly memory: Disk; readonly identity?: Identity; readonly peers?: readonly Peer[] };

/** Another node has the folder. */
export interface FolderHeld {
  readonly heldBy: LockOwner | null;
}

export interface Opened {
  readonly disk: Disk;
  readonly lock: FolderLock | null;
  /** null: nobody has run here. */
  readonly identity: Identity | null;
  /** Where the other members were last. */
  readonly peers: readonly Peer[];
  /** null: in memory. */
  readonly dir: string | null;
}

/** Who runs here, read without a lock: only to decide what must be asked before anything is touched. */
export function peekIdentity(storage: Storage): Identity | null {
  return "memory" in storage ? (storage.identity ?? null) : readIdentity(storage.dir);
}

/** Lock, identity, disk. In memory there is nothing to lock. */
export async function openStorage(
  storage: Storage,
  slabs: SlabPool,
  world: World,
): Promise<Opened | FolderHeld> {
  if ("memory" in storage) {
    const { memory, identity = newcomer, peers = [] } = storage;
    return { disk: memory, lock: null, identity, peers, dir: null };
  }
  const { dir, through = (same) => same } = storage;
  // First of all: the Worker of its writer comes up while this thread loads libSQL for the lock (-7 to -20 ms).
  const { LibsqlDisk } = await import("../journal/libsql-disk.ts");
  const disk = through(new LibsqlDisk({ dir: journalFolder(dir), slabs, world }));
  let lock: FolderLock | null = null;
  try {
    const { lockFolder } = await import("../journal/folder-lock.ts");
    const locked = lockFolder(dir);
    if ("lock" in locked) {
      lock = locked.lock;
      lock.announce({ pid: process.pid, url: "", startedAt: world.now() });
      return { disk, lock, identity: readIdentity(dir), peers: readPeers(dir), dir };
    }
    await disk.close();
    return locked;
  } catch (fault) {
    await disk.close().catch(() => undefined);
    lock?.release();
    throw fault;
  }
}
