// What all replicas of a node share: given to each by the host, owned by the host.

import type { RawNode } from "../../raft/index.ts";
import type { Journal } from "../journal/journal.ts";
import type { World } from "../world.ts";
import type { Admission } from "./admission.ts";
import type { CatchUp } from "./catch-up.ts";
import type { HostedReplica } from "./hosted-replica.ts";
import type { Payload } from "./payload.ts";
import type { Outbox } from "./wire/outbox.ts";
import type { SnapshotSchedule } from "./snapshot-schedule.ts";
import type { Vigil } from "./liveness/vigil.ts";

export interface ReplicaContext {
  readonly world: World;
  readonly journal: Journal;
  readonly admission: Admission;
  readonly schedule: SnapshotSchedule;
  readonly outbox: Outbox;
  readonly catchUp: CatchUp;
  readonly nodeId: number;
  /** What is known of the other nodes; null: this node is alone. */
  readonly vigil: Vigil<HostedReplica> | null;
  /** Batches that leaders on other nodes sent: handed to the journal and not durable yet. */
  readonly received: { bytes: number };
  readonly counters: ReplicaCounters;
  readonly onCore: (groupId: string, incarnation: number, core: RawNode<Payload>) => void;
  /** The replica has work for the host's next turn. */
  readonly changed: (replica: HostedReplica) => void;
  /** The replica runs and has peers: time may concern it (tick() tells). */
  readonly ticking: (replica: HostedReplica) => void;
}

export interface ReplicaCounters {
  elections: number;
  leadershipsLost: number;
  messagesIgnored: number;
  snapshotsSent: number;
  snapshotsUnderWay: number;
  snapshotsInstalled: number;
}
