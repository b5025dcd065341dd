// Every metric of /metrics: name, type, meaning. The page's HELP and TYPE lines are read from here.
//
// Left to others: the numbers (edge/server/metrics.ts, Broker.metrics(), which gives its names without the prefix).

export interface MetricRow {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
}

const counter = (help: string): MetricRow => ({ type: "counter", help });
const gauge = (help: string): MetricRow => ({ type: "gauge", help });
const histogram = (help: string): MetricRow => ({ type: "histogram", help });

export const metricRows: Readonly<Record<string, MetricRow>> = {
  rivulet_ready: gauge("1 when the node takes requests"),
  rivulet_http_requests_total: counter("Answers by route and status"),
  rivulet_http_request_seconds: histogram(
    "Time from the request's head to the answer's head, by route; long polls include their wait",
  ),
  rivulet_http_records_written_total: counter("Records acknowledged over HTTP"),
  rivulet_http_records_read_total: counter("Records in answers of reads"),
  rivulet_http_records_tailed_total: counter("Records sent as events, counted for each tailer"),
  rivulet_http_records_encoded_total: counter(
    "Records encoded for tails; less than sent when tailers share",
  ),
  rivulet_http_waiting: gauge("Long polls and tails that are open"),
  rivulet_topics: gauge("Topics"),
  rivulet_partitions: gauge("Partitions of all topics"),
  rivulet_produce_requests_total: counter("Produce requests taken by the broker, both doors"),
  rivulet_produce_batches_total: counter("Batches appended"),
  rivulet_produce_bytes_total: counter("Bytes of batches appended"),
  rivulet_produce_refused_total: counter("Batches refused"),
  rivulet_fetch_requests_total: counter("Fetch requests taken by the broker, both doors"),
  rivulet_fetch_bytes_total: counter("Bytes of batches read"),
  rivulet_fetch_waits_total: counter("Fetches that had to wait for a commit"),
  rivulet_fetch_waiters: gauge("Fetches that wait now"),
  rivulet_retention_rounds_total: counter("Rounds of retention over all partitions"),
  rivulet_retention_failures_total: counter("Partitions at which a round of retention failed"),
  rivulet_read_model_failed: gauge(
    "1 when state.db no longer follows; the next start fills it anew",
  ),
  rivulet_journal_flushes_total: counter("Transactions of the journal"),
  rivulet_journal_failed_flushes_total: counter("Transactions that the disk refused"),
  rivulet_journal_rows_written_total: counter("Rows written: entries and facts"),
  rivulet_journal_bytes_written_total: counter("Bytes by which the journal's files grew"),
  rivulet_journal_rolls_total: counter("New journal files begun"),
  rivulet_journal_queue_bytes: gauge("Bytes that wait for the writer"),
  rivulet_journal_cache_hits_total: counter("Reads that the tail cache answered"),
  rivulet_journal_cache_misses_total: counter("Reads that went to the disk"),
  rivulet_journal_cache_entries: gauge("Entries in the tail cache"),
  rivulet_slab_bytes_in_use: gauge("Shared memory that holds record bytes"),
  rivulet_slab_bytes_allocated: gauge("Shared memory that the node keeps"),
  rivulet_journal_disk_reads_total: counter("Statements run by the reader Workers"),
  rivulet_journal_disk_rows_read_total: counter("Rows that they brought"),
  rivulet_journal_damage: gauge(
    "Damaged rows and files that are known, by replica: found at the start or by a read",
  ),
  rivulet_journal_damaged_rows_met_total: counter("Damaged rows that a read met"),
  rivulet_journal_files: gauge("Files of the journal"),
  rivulet_journal_files_sealed_total: counter("Sealed files written by the janitor"),
  rivulet_journal_files_removed_total: counter("Files that the janitor deleted"),
  rivulet_disk_free_bytes: gauge("Free bytes on the volume of the data folder"),
  rivulet_journal_used_bytes: gauge("Bytes of all journal files"),
  rivulet_replicas: gauge("Replicas in the journal, the controller's included"),
  rivulet_consensus_replicas_open: gauge("Replicas that are open; idle partitions are not"),
  rivulet_consensus_replicas_leading: gauge("Of those, replicas that lead their group"),
  rivulet_consensus_replicas_cold: gauge("Of those, replicas that nobody has used so far"),
  rivulet_consensus_replicas_damaged: gauge(
    "Of those, replicas whose data is not whole and that wait to be replaced",
  ),
  rivulet_consensus_elections_won_total: counter("Terms that a replica of this node began to lead"),
  rivulet_consensus_leaderships_lost_total: counter("Terms that ended for a leader on this node"),
  rivulet_consensus_messages_sent_total: counter("Raft messages sent to other nodes"),
  rivulet_consensus_messages_unsent_total: counter(
    "Raft messages that found no connection or no room; the leader sends again",
  ),
  rivulet_consensus_messages_ignored_total: counter(
    "Raft messages that a replica could not take in then",
  ),
  rivulet_consensus_packets_refused_total: counter("Packets of peers that cannot be read"),
  rivulet_consensus_strangers_total: counter("Raft messages for replicas that are not here"),
  rivulet_consensus_received_bytes: gauge("Bytes of leaders' batches that are being written"),
  rivulet_consensus_catch_up_reads: gauge("Reads under way for followers that are behind"),
  rivulet_consensus_catch_up_waiting: gauge("Followers that wait for such a read"),
  rivulet_consensus_state_sent_total: counter(
    "States of folds sent to followers whose entries are gone",
  ),
  rivulet_consensus_state_installed_total: counter("States of folds taken over from leaders"),
  rivulet_consensus_beats_sent_total: counter("Beats sent to other nodes"),
  rivulet_consensus_beats_heard_total: counter("Beats of other nodes"),
  rivulet_consensus_nodes_silent_total: counter("How often another node was taken for gone"),
  rivulet_consensus_led_questions_total: counter(
    "Questions which groups another node leads, asked when the sums of both differed",
  ),
  rivulet_consensus_led_pages_total: counter("Pages of answers to such questions"),
  rivulet_consensus_watch_packets_refused_total: counter("Beats and pages that cannot be read"),
  rivulet_consensus_fit: gauge("1 when this node may lead: its disk and its lanes make progress"),
  rivulet_consensus_campaigns_waiting: gauge(
    "Replicas that lost their leader and wait for their turn to campaign",
  ),
  rivulet_consensus_turns_total: counter("Turns of the consensus host"),
  rivulet_consensus_snapshots_saved_total: counter("Snapshots of folds made durable"),
  rivulet_consensus_snapshots_failed_total: counter("Snapshots of folds that could not be saved"),
  rivulet_consensus_admitted_bytes: gauge("Bytes of appends between admission and commit"),
  rivulet_consensus_replicas_ticking: gauge(
    "Replicas for which time passes; those at rest need none",
  ),
  rivulet_forwarded_requests_total: counter(
    "Requests sent on to the node that leads the partition",
  ),
  rivulet_forwarded_failures_total: counter("Of those, calls that could not be made or broke"),
  rivulet_forwarded_append_bytes_total: counter("Bytes of batches sent on to leaders"),
  rivulet_forwarded_fetch_bytes_total: counter("Bytes of batches read from other nodes"),
  rivulet_forward_waiting_bytes: gauge(
    "Bytes of appends that wait for a leader, or are under way to one",
  ),
  rivulet_served_requests_total: counter("Requests of other nodes about partitions"),
  rivulet_served_elsewhere_total: counter("Of those, for partitions that are led elsewhere"),
  rivulet_served_waits: gauge("Calls of other nodes that wait here for the next record"),
  rivulet_partitions_led: gauge("Partitions that this node leads, of those that are open here"),
  rivulet_partitions_leaderless: gauge("Partitions without a leader, of those that are open here"),
  rivulet_partitions_watched: gauge(
    "Partitions without a replica here of which somebody waits for news",
  ),
  rivulet_leader_searches_total: counter("Rounds of asking who leads a partition"),
  rivulet_group_leads: gauge(
    "1 when this node leads the group; groups open on this node alone are told",
  ),
  rivulet_group_leader: gauge("The node that leads the group, 0 when that is not known"),
  rivulet_group_term: gauge("The group's term"),
  rivulet_group_uncommitted_entries: gauge("Log entries on this node that are not committed yet"),
  rivulet_group_unapplied_entries: gauge("Committed entries that this node has yet to apply"),
  rivulet_group_lag_entries: gauge(
    "Log entries that a member has not acknowledged, told by the leader",
  ),
  rivulet_peers: gauge("Other nodes of the cluster"),
  rivulet_peers_connected: gauge("Of those, nodes that this one is connected with"),
  rivulet_peer_packets_sent_total: counter("Packets handed to the transport"),
  rivulet_peer_packets_received_total: counter("Packets that came from other nodes"),
  rivulet_peer_bytes_sent_total: counter("Bytes of packets handed to the transport"),
  rivulet_peer_bytes_received_total: counter("Bytes of packets that came from other nodes"),
  rivulet_peer_lanes_broken_total: counter("Lanes whose connection ended, or stalled"),
  rivulet_peer_queued_bytes: gauge("Bytes that wait for other nodes, of all lanes"),
  rivulet_peer_append_stalled_ms: gauge(
    "How long the oldest append to another node has waited to be acknowledged, the worst of all",
  ),
  rivulet_peer_calls_made_total: counter("Questions to other nodes"),
  rivulet_peer_calls_failed_total: counter("Of those, questions that were not answered"),
  rivulet_peer_calls_served_total: counter("Questions of other nodes that were answered"),
  rivulet_peer_calls_refused_total: counter("Questions of other nodes that were refused"),
  rivulet_peer_calls_under_way: gauge("Questions to other nodes that wait for their answer"),
  rivulet_reconciler_groups_waiting: gauge("Groups whose replicas are to be looked at"),
  rivulet_reconciler_groups_busy: gauge("Groups whose replicas are being moved"),
  rivulet_reconciler_changes_total: counter("Changes of members that were begun"),
  rivulet_reconciler_changes_refused_total: counter("Of those, changes that were refused"),
  rivulet_reconciler_replicas_removed_total: counter("Replicas that were dropped here"),
  rivulet_reconciler_leaderships_moved_total: counter("Leaderships handed to where they belong"),
};
