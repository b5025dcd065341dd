// Commands of the controller: what may change the cluster's metadata, and how a command lies in an entry's meta.
//
//   meta = msgpackr { v, kind, ... }         one command an entry, kind `command` (journal.ts)
//
//   v 1   one node alone: assignments are arrays of {nodeId, incarnation}
//   v 2   assignments are flat: [node id, incarnation, node id, incarnation, ...] a partition, so that a topic of 10,000
//         partitions on three nodes fits into one entry
//
// Promise: decode(encode(c)) equals c; version 1 is read for ever; a version or kind from a newer program halts instead
// of being guessed at. Left to others: what a command does (cluster-state.ts), who may submit one (controller.ts).

import { Packr } from "msgpackr/pack";
import type { ReplicaIdentity } from "../consensus/identity.ts";
import { Fault } from "../errors.ts";
import type { ConfigValues } from "./topic-settings.ts";

export const commandVersion = 2;

/** The replicas of one partition, the preferred leader first. */
export type Assignment = readonly ReplicaIdentity[];

/** Where the other nodes reach a node's peer port. */
export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** What a node tells of itself; left out is null. */
export interface NodeTold {
  /** Of its program. */
  readonly version: string;
  /** Its advertised URL of the HTTP door. */
  readonly http?: string | null;
  /** null: it runs without a peer port. */
  readonly peer?: PeerAddress | null;
  readonly region?: string | null;
}

/** A partition's replicas, by node: the fold gives a node that had none a fresh incarnation. */
export interface ReassignedPartition {
  readonly partition: number;
  /** Node ids, the preferred leader first. */
  readonly nodes: readonly number[];
  /** Node ids of the assignment that the proposer saw; refused when it is another by now. */
  readonly expected: readonly number[];
}

export type Command =
  /** First command of a cluster; refused when there is an id. */
  | { readonly kind: "formatCluster"; readonly clusterId: string }
  /** A node started: its row is replaced. The first one ever becomes the controller's only voter. */
  | ({ readonly kind: "registerNode"; readonly nodeId: number } & NodeTold)
  /** Another node becomes a member: the fold gives it its id. The same request gets the same id, however often. */
  | ({ readonly kind: "joinNode"; readonly requestId: string } & NodeTold)
  /** Everything leaves the node; removeNode follows when nothing is left on it. */
  | { readonly kind: "drainNode"; readonly nodeId: number }
  /** The node is no member any more; its id is never used again. */
  | { readonly kind: "removeNode"; readonly nodeId: number }
  /** Wanted voters of the controller's group, node ids: 1, 3 or 5. The other members are its learners. */
  | {
      readonly kind: "setControllerVoters";
      readonly voters: readonly number[];
      /** The voters that the proposer saw. */
      readonly expected: readonly number[];
    }
  /** The node's replica of the controller's group is damaged: it comes back as another. */
  | {
      readonly kind: "replaceControllerReplica";
      readonly nodeId: number;
      readonly incarnation: number;
    }
  /** The proposer made the topic id and placed the partitions. The same topic id again changes nothing. */
  | {
      readonly kind: "createTopic";
      readonly name: string;
      readonly topicId: string;
      readonly assignments: readonly Assignment[];
      readonly configs: ConfigValues;
      /** A person chose the replication factor: it is not raised as nodes join. Left out: false. */
      readonly explicitFactor?: boolean;
    }
  | { readonly kind: "deleteTopic"; readonly topicId: string }
  /** Every replica of these deleted topics is gone from the disk of the node; without one: from every disk. */
  | {
      readonly kind: "forgetTopics";
      readonly topicIds: readonly string[];
      readonly nodeId?: number;
    }
  /** Adds the assignments behind the `first` partitions that there are; refused when there are not `first`. */
  | {
      readonly kind: "addPartitions";
      readonly topicId: string;
      readonly first: number;
      readonly assignments: readonly Assignment[];
    }
  /** Where replicas shall lie from now on; the leaders of the groups approach it. */
  | {
      readonly kind: "assignReplicas";
      readonly topicId: string;
      readonly changes: readonly ReassignedPartition[];
    }
  /** A replica is damaged: the same node gets another. Changes nothing when that one is replaced already. */
  | {
      readonly kind: "replaceReplica";
      readonly topicId: string;
      readonly partition: number;
      readonly replica: ReplicaIdentity;
    }
  /** The group's leader tells the configuration that is applied there, none under way: replicas outside the assignment
   *  and outside of this are gone for good, and their data may die. */
  | {
      readonly kind: "confirmReplicas";
      readonly topicId: string;
      readonly partition: number;
      /** The move's revision that the leader saw before it looked; refused when it is another by now. */
      readonly revision: number;
      readonly voters: Assignment;
      readonly learners: Assignment;
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

interface KindRow {
  /** First version that has it. */
  readonly since: 1 | 2;
  /** Submitted twice it does no more than once, or no harm: it may be sent again when its first try's fate is unknown. */
  readonly repeatable: boolean;
}

const kinds: Readonly<Record<CommandKind, KindRow>> = {
  formatCluster: { since: 1, repeatable: false },
  registerNode: { since: 1, repeatable: true },
  joinNode: { since: 2, repeatable: true },
  drainNode: { since: 2, repeatable: true },
  removeNode: { since: 2, repeatable: true },
  setControllerVoters: { since: 2, repeatable: false },
  replaceControllerReplica: { since: 2, repeatable: true },
  createTopic: { since: 1, repeatable: true },
  deleteTopic: { since: 1, repeatable: false },
  forgetTopics: { since: 1, repeatable: true },
  addPartitions: { since: 1, repeatable: false },
  assignReplicas: { since: 2, repeatable: false },
  replaceReplica: { since: 2, repeatable: true },
  confirmReplicas: { since: 2, repeatable: true },
  alterConfigs: { since: 1, repeatable: true },
  // A block that nobody got is never used: ids are plenty.
  allocateProducerIds: { since: 1, repeatable: true },
};

/** Whether the command may be submitted again when nobody knows whether it was committed. */
export function isRepeatable(command: Command): boolean {
  return kinds[command.kind].repeatable;
}

// Plain maps, no record extension: the bytes of one command do not depend on those before it.
const packr = new Packr({ useRecords: false });

/** The command's bytes, owned by the caller. */
export function encodeCommand(command: Command): Uint8Array {
  return Uint8Array.from(packr.pack({ v: commandVersion, ...flatten(command) }));
}

/** Reads what encodeCommand() wrote, in any version. Throws Fault for a version or kind that this program does not
 *  know. */
export function decodeCommand(meta: Uint8Array): Command {
  const { v, ...command } = packr.unpack(meta) as { v: unknown; kind: unknown };
  if (v !== 1 && v !== 2) throw newer(`version must be 1 to ${commandVersion}, got ${String(v)}`);
  const { kind } = command;
  if (typeof kind !== "string" || !isKind(kind) || kinds[kind].since > v)
    throw newer(`kind ${JSON.stringify(kind)} is unknown`);
  return v === 1 ? (command as Command) : raise(command as Flat);
}

function isKind(kind: string): kind is CommandKind {
  return Object.hasOwn(kinds, kind);
}

/** A command with flat assignments. */
type Flat = { readonly kind: CommandKind } & Record<string, unknown>;

function flatten(command: Command): object {
  switch (command.kind) {
    case "createTopic":
    case "addPartitions":
      return { ...command, assignments: command.assignments.map(flatAssignment) };
    case "confirmReplicas": {
      const { voters, learners } = command;
      return { ...command, voters: flatAssignment(voters), learners: flatAssignment(learners) };
    }
    default:
      return command;
  }
}

function raise(flat: Flat): Command {
  switch (flat.kind) {
    case "createTopic":
    case "addPartitions": {
      const assignments = (flat.assignments as number[][]).map(assignmentOf);
      return { ...flat, assignments } as unknown as Command;
    }
    case "confirmReplicas": {
      const voters = assignmentOf(flat.voters as number[]);
      const learners = assignmentOf(flat.learners as number[]);
      return { ...flat, voters, learners } as unknown as Command;
    }
    default:
      return flat as unknown as Command;
  }
}

/** [node id, incarnation, node id, incarnation, ...] */
export function flatAssignment(assignment: Assignment): number[] {
  return assignment.flatMap(({ nodeId, incarnation }) => [nodeId, incarnation]);
}

export function assignmentOf(flat: readonly number[]): Assignment {
  const replicas = [];
  for (let i = 0; i < flat.length; i += 2)
    replicas.push({ nodeId: flat[i], incarnation: flat[i + 1] });
  return replicas;
}

function newer(what: string): Fault {
  return new Fault(
    "unknown_server_error",
    `Cannot apply a controller command: ${what}. A newer Rivulet wrote this log`,
  );
}
