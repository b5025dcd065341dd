// The host's numbers under its own names; what they are called outside is the broker's.

import type { HostedReplica } from "./hosted-replica.ts";
import type { ReplicaContext } from "./replica-context.ts";

export interface HostCounters {
  turns: number;
  snapshotsSaved: number;
  snapshotsFailed: number;
  /** Packets that could not be read. */
  packetsRefused: number;
  /** Messages for replicas that are not here. */
  strangers: number;
}

export function hostMetrics(
  { counters, outbox, catchUp, received, admission }: ReplicaContext,
  { turns, snapshotsSaved, snapshotsFailed, packetsRefused, strangers }: HostCounters,
  replicas: Iterable<HostedReplica>,
): Readonly<Record<string, number>> {
  const roles = rolesOf(replicas);
  return {
    consensus_replicas: roles.open,
    consensus_leaders: roles.leaders,
    consensus_cold: roles.cold,
    consensus_damaged: roles.damaged,
    consensus_turns_total: turns,
    consensus_elections_won_total: counters.elections,
    consensus_leaderships_lost_total: counters.leadershipsLost,
    consensus_messages_sent_total: outbox.counters.sent,
    consensus_messages_unsent_total: outbox.counters.dropped,
    consensus_messages_ignored_total: counters.messagesIgnored,
    consensus_packets_refused_total: packetsRefused,
    consensus_strangers_total: strangers,
    consensus_received_bytes: received.bytes,
    consensus_catch_up_reads: catchUp.reading,
    consensus_catch_up_waiting: catchUp.waiting,
    consensus_state_sent_total: counters.snapshotsSent,
    consensus_state_installed_total: counters.snapshotsInstalled,
    consensus_snapshots_saved_total: snapshotsSaved,
    consensus_snapshots_failed_total: snapshotsFailed,
    consensus_admitted_bytes: admission.bytes,
  };
}

function rolesOf(replicas: Iterable<HostedReplica>) {
  const roles = { open: 0, leaders: 0, cold: 0, damaged: 0 };
  for (const replica of replicas) {
    roles.open += 1;
    if (replica.role.leader) roles.leaders += 1;
    if (replica.damaged) roles.damaged += 1;
    else if (replica.cold) roles.cold += 1;
  }
  return roles;
}
