// What all replicas of a node share: given to each by the host, owned by the host.

import type { Journal } from "../journal/journal.ts";
import type { World } from "../world.ts";
import type { Admission } from "./admission.ts";
import type { HostedReplica } from "./hosted-replica.ts";
import type { SnapshotSchedule } from "./snapshot-schedule.ts";

export interface ReplicaContext {
  readonly world: World;
  readonly journal: Journal;
  readonly admission: Admission;
  readonly schedule: SnapshotSchedule;
  readonly nodeId: number;
  /** The replica has work for the host's next turn. */
  readonly changed: (replica: HostedReplica) => void;
}
