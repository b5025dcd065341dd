// Commands of the controller: what may change the cluster's metadata, and how a command lies in an entry's meta.
//
//   meta = msgpackr { v: 1, kind, ... }      one command an entry, kind `command` (journal.ts)
//
// Promise: decode(encode(c)) equals c; a version or kind from a newer program halts instead of being guessed at.
// Left to others: what a command does (cluster-state.ts), who may submit one (controller.ts, broker/).

import { Packr } from "msgpackr/pack";
import type { ReplicaIdentity } from "../consensus/identity.ts";
import { Fault } from "../errors.ts";
import type { ConfigValues } from "./topic-settings.ts";

export const commandVersion = 1;

/** The replicas of one partition, the preferred leader first. */
export type Assignment = readonly ReplicaIdentity[];

export type Command =
  /** First command of a cluster; refused when there is an id. */
  | { readonly kind: "formatCluster"; readonly clusterId: string }
  /** A node started: its row is replaced. */
  | { readonly kind: "registerNode"; readonly nodeId: number; readonly version: string }
  /** The proposer made the topic id and placed the partitions. */
  | {
      readonly kind: "createTopic";
      readonly name: string;
      readonly topicId: string;
      readonly assignments: readonly Assignment[];
      readonly configs: ConfigValues;
    }
  | { readonly kind: "deleteTopic"; readonly topicId: string }
  /** Every replica of these deleted topics is gone from every disk. */
  | { readonly kind: "forgetTopics"; readonly topicIds: readonly string[] }
  /** Adds the assignments behind the `first` partitions that there are; refused when there are not `first`. */
  | {
      readonly kind: "addPartitions";
      readonly topicId: string;
      readonly first: number;
      readonly assignments: readonly Assignment[];
    }
  /** null resets. */
  | {
      readonly kind: "alterConfigs";
      readonly topicId: string;
      readonly changes: Readonly<Record<string, string | null>>;
    }
  /** Gives the proposer the next `count` producer ids. */
  | { readonly kind: "allocateProducerIds"; readonly count: number };

export type CommandKind = Command["kind"];

const kinds: Readonly<Record<CommandKind, true>> = {
  formatCluster: true,
  registerNode: true,
  createTopic: true,
  deleteTopic: true,
  forgetTopics: true,
  addPartitions: true,
  alterConfigs: true,
  allocateProducerIds: true,
};

// Plain maps, no record extension: the bytes of one command do not depend on those before it.
const packr = new Packr({ useRecords: false });

/** The command's bytes, owned by the caller. */
export function encodeCommand(command: Command): Uint8Array {
  return Uint8Array.from(packr.pack({ v: commandVersion, ...command }));
}

/** Reads what encodeCommand() wrote. Throws Fault for a version or kind that this program does not know. */
export function decodeCommand(meta: Uint8Array): Command {
  const { v, ...command } = packr.unpack(meta) as { v: unknown; kind: unknown };
  if (v !== commandVersion) throw newer(`version must be ${commandVersion}, got ${String(v)}`);
  if (typeof command.kind !== "string" || !Object.hasOwn(kinds, command.kind))
    throw newer(`kind ${JSON.stringify(command.kind)} is unknown`);
  return command as Command;
}

function newer(what: string): Fault {
  return new Fault(
    "unknown_server_error",
    `Cannot apply a controller command: ${what}. A newer Rivulet wrote this log`,
  );
}
