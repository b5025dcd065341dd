// The data folder: who may use it, what format it has, who the node is.
//
//   DIR/lock.db, lock.json   held while a node runs here (journal/folder-lock.ts)
//   DIR/identity.json        format version, node id, cluster id, ..., their CRC-32C; written before anything else, and
//                            again when the cluster has its id and when the node becomes one of several
//   DIR/join.json            the request id of a join under way (joining.ts)
//   DIR/peers.json           where the other nodes were last (known-peers.ts); may be deleted
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

/** The newest format. A folder is written in the oldest that says everything of it, so that an older Rivulet can still
 *  open what is nothing new to it:
 *    1  a node that never had a peer port
 *    2  a member of a cluster: its logs have several voters, and a Rivulet that knows no others would wait for ever */
export const formatVersion = 2;
const aloneVersion = 1;

export interface Identity {
  readonly formatVersion: number;
  /** From 1. */
  readonly nodeId: number;
  /** null until the cluster has given itself one; a member has one. */
  readonly clusterId: string | null;
  /** Of this node's replica of the controller's group, from 1. */
  readonly controllerIncarnation: number;
}

/** The node was started with a peer port once. */
export function isMember({ formatVersion }: Identity): boolean {
  return formatVersion > aloneVersion;
}

/** The identity of a node before anybody has met it. */
export const newcomer: Identity = {
  formatVersion: aloneVersion,
  nodeId: 1,
  clusterId: null,
  controllerIncarnation: 1,
};

export const journalFolder = (dir: string): string => join(dir, "journal");
export const readModelFile = (dir: string): string => join(dir, "state.db");
const identityFile = (dir: string): string => join(dir, "identity.json");

/** The folder's identity; writes a new one where there is none. Throws Fault storage_failed for a newer format or a file
 *  that is not one. The caller holds the folder's lock. */
export function openIdentity(dir: string): Identity {
  const found = readIdentity(dir);
  if (found !== null) return found;
  writeIdentity(dir, newcomer);
  return newcomer;
}

/** The identity from now on: the node is a member of the cluster, as this node. On the disk when it returns. */
export function becomeMember(
  dir: string,
  of: Pick<Identity, "nodeId" | "controllerIncarnation"> & { readonly clusterId: string },
): Identity {
  const identity = { formatVersion, ...of };
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

function writeIdentity(dir: string, identity: Identity): void {
  writeWhole(dir, identityFile(dir), encodeIdentity(identity));
}

/** Wholly or not at all, and on the disk when it returns. */
export function writeWhole(dir: string, file: string, text: string): void {
  const handle = openSync(`${file}.tmp`, "w");
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(`${file}.tmp`, file);
  syncFolder(dir);
}

/** The text of identity.json. */
export function encodeIdentity(identity: Identity): string {
  const { formatVersion, nodeId, clusterId, controllerIncarnation } = identity;
  const told = {
    formatVersion,
    nodeId,
    clusterId,
    ...(isMember(identity) ? { controllerIncarnation } : {}),
  };
  const crc = crc32c(new TextEncoder().encode(JSON.stringify(told)));
  return `${JSON.stringify({ ...told, crc })}\n`;
}

/** The text of a file, or null where there is none. Throws Fault storage_failed. */
export function readOrNull(file: string): string | null {
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
      return { ...newcomer, formatVersion: value.formatVersion };
    const { nodeId, clusterId = null, controllerIncarnation = 1 } = value;
    if (!isPositive(nodeId) || !isPositive(controllerIncarnation)) return null;
    if (clusterId !== null && typeof clusterId !== "string") return null;
    const { formatVersion: version } = value;
    const identity = { formatVersion: version, nodeId, clusterId, controllerIncarnation };
    if (isMember(identity) && clusterId === null) return null;
    return encodeIdentity(identity) === text ? identity : null;
  } catch {
    return null;
  }
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
