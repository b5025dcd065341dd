// The data folder: who may use it, what format it has, who the node is.
//
//   DIR/lock.db, lock.json   held while a node runs here (journal/folder-lock.ts)
//   DIR/identity.json        format version, node id, cluster id, their CRC-32C; written before anything else, then once more
//   DIR/journal/             the log of everything
//   DIR/state.db             the read model; may be deleted while the node is stopped
//
// Promise: a folder that a newer Rivulet wrote is refused before a byte of it is read or changed, and so is one whose
// identity belongs to another cluster than its journal; a flipped bit in the identity is damage (with another node's id
// the start would wait for a leader for ever). Left to others: what is in the journal.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32c } from "../bytes/crc32c.ts";
import { Fault } from "../errors.ts";
import { syncFolder } from "../journal/file-names.ts";

/** Raised by one when an older Rivulet must not touch the folder any more. */
export const formatVersion = 1;

export interface Identity {
  readonly formatVersion: number;
  /** From 1. */
  readonly nodeId: number;
  /** null until the cluster has given itself one. */
  readonly clusterId: string | null;
}

export const journalFolder = (dir: string): string => join(dir, "journal");
export const readModelFile = (dir: string): string => join(dir, "state.db");
const identityFile = (dir: string): string => join(dir, "identity.json");

/** The folder's identity; writes a new one where there is none. Throws Fault storage_failed for a newer format or a file
 *  that is not one. The caller holds the folder's lock. */
export function openIdentity(dir: string): Identity {
  const found = readIdentity(dir);
  if (found !== null) return found;
  const identity = { formatVersion, nodeId: 1, clusterId: null };
  writeIdentity(dir, identity);
  return identity;
}

/** The folder's identity, or null where there is none. Throws as openIdentity() does. */
export function readIdentity(dir: string): Identity | null {
  const file = identityFile(dir);
  const text = readOrNull(file);
  if (text === null) return null;
  const found = parse(text);
  if (found === null)
    throw new Fault("storage_damaged", `Cannot use ${dir}: ${file} is damaged or no identity file`);
  if (found.formatVersion > formatVersion) {
    const detail =
      `Cannot use ${dir}: it has format version ${found.formatVersion}, and this Rivulet reads up to ${formatVersion}. ` +
      "Install a newer Rivulet, or start with another folder: --data DIR";
    throw new Fault("storage_failed", detail);
  }
  return found;
}

/** Remembers the cluster's id, or checks that it is the one remembered. */
export function confirmCluster(dir: string, identity: Identity, clusterId: string): void {
  if (identity.clusterId === clusterId) return;
  if (identity.clusterId === null) return writeIdentity(dir, { ...identity, clusterId });
  const detail = `Cannot use ${dir}: it belongs to cluster ${identity.clusterId}, its journal to ${clusterId}`;
  throw new Fault("storage_damaged", detail);
}

/** Wholly or not at all, and on the disk when it returns. */
function writeIdentity(dir: string, identity: Identity): void {
  const file = identityFile(dir);
  const handle = openSync(`${file}.tmp`, "w");
  try {
    writeSync(handle, encodeIdentity(identity));
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(`${file}.tmp`, file);
  syncFolder(dir);
}

/** The text of identity.json. */
export function encodeIdentity({ formatVersion, nodeId, clusterId }: Identity): string {
  const identity: Identity = { formatVersion, nodeId, clusterId };
  return `${JSON.stringify({ ...identity, crc: crcOf(identity) })}\n`;
}

function crcOf({ formatVersion, nodeId, clusterId }: Identity): number {
  return crc32c(new TextEncoder().encode(JSON.stringify({ formatVersion, nodeId, clusterId })));
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return null;
    throw new Fault("storage_failed", `Cannot read ${file}: ${String(cause)}`, { cause });
  }
}

function parse(text: string): Identity | null {
  try {
    const value = JSON.parse(text) as Partial<Identity> | null;
    if (value === null || !isPositive(value.formatVersion)) return null;
    // A newer format may have other fields: the version alone is what every Rivulet understands.
    if (value.formatVersion > formatVersion)
      return { formatVersion: value.formatVersion, nodeId: 0, clusterId: null };
    const { nodeId, clusterId = null } = value;
    if (!isPositive(nodeId) || (clusterId !== null && typeof clusterId !== "string")) return null;
    const identity = { formatVersion: value.formatVersion, nodeId, clusterId };
    return encodeIdentity(identity) === text ? identity : null;
  } catch {
    return null;
  }
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
