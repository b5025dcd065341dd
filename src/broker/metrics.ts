// The node's numbers under the names that /metrics shows (the door puts rivulet_ before each).
//
// Promise: every number of the journal and of the consensus host has one row here; a number without a row is left out,
// so that a renamed one is missed by its test and not shown under two names. Left to others: HELP texts (edge/contract).

type Numbers = Readonly<Record<string, number>>;

/** The journal's own name -> ours. `_total` marks what only grows. */
export const journalMetricNames = {
  flushes: "journal_flushes_total",
  failed_flushes: "journal_failed_flushes_total",
  rows_written: "journal_rows_written_total",
  bytes_written: "journal_bytes_written_total",
  rolls: "journal_rolls_total",
  queue_bytes: "journal_queue_bytes",
  cache_hits: "journal_cache_hits_total",
  cache_misses: "journal_cache_misses_total",
  cache_entries: "journal_cache_entries",
  slab_bytes_in_use: "slab_bytes_in_use",
  slab_bytes_allocated: "slab_bytes_allocated",
  disk_reads: "journal_disk_reads_total",
  disk_rows_read: "journal_disk_rows_read_total",
  damage: "journal_damage",
  damaged_rows_met: "journal_damaged_rows_met_total",
  files: "journal_files",
  files_sealed: "journal_files_sealed_total",
  files_removed: "journal_files_removed_total",
  free_bytes: "disk_free_bytes",
  used_bytes: "journal_used_bytes",
  replicas: "replicas",
} as const;

/** The consensus host's own name -> ours. */
export const hostMetricNames = {
  consensus_replicas: "consensus_replicas_open",
  consensus_leaders: "consensus_replicas_leading",
  consensus_cold: "consensus_replicas_cold",
  consensus_damaged: "consensus_replicas_damaged",
  consensus_ticking: "consensus_replicas_ticking",
  consensus_turns_total: "consensus_turns_total",
  consensus_elections_won_total: "consensus_elections_won_total",
  consensus_leaderships_lost_total: "consensus_leaderships_lost_total",
  consensus_messages_sent_total: "consensus_messages_sent_total",
  consensus_messages_unsent_total: "consensus_messages_unsent_total",
  consensus_messages_ignored_total: "consensus_messages_ignored_total",
  consensus_packets_refused_total: "consensus_packets_refused_total",
  consensus_strangers_total: "consensus_strangers_total",
  consensus_received_bytes: "consensus_received_bytes",
  consensus_catch_up_reads: "consensus_catch_up_reads",
  consensus_catch_up_waiting: "consensus_catch_up_waiting",
  consensus_state_sent_total: "consensus_state_sent_total",
  consensus_state_installed_total: "consensus_state_installed_total",
  consensus_snapshots_saved_total: "consensus_snapshots_saved_total",
  consensus_snapshots_failed_total: "consensus_snapshots_failed_total",
  consensus_admitted_bytes: "consensus_admitted_bytes",
} as const;

/** What the host has to tell only among other nodes. */
export const vigilMetricNames = {
  consensus_beats_sent_total: "consensus_beats_sent_total",
  consensus_beats_heard_total: "consensus_beats_heard_total",
  consensus_nodes_silent_total: "consensus_nodes_silent_total",
  consensus_led_questions_total: "consensus_led_questions_total",
  consensus_led_pages_total: "consensus_led_pages_total",
  consensus_watch_packets_refused_total: "consensus_watch_packets_refused_total",
  consensus_fit: "consensus_fit",
  consensus_campaigns_waiting: "consensus_campaigns_waiting",
} as const;

/** The numbers that have a row, renamed. Cost: one object. */
export function renamed(numbers: Numbers, names: Readonly<Record<string, string>>): Numbers {
  const found: Record<string, number> = {};
  for (const [own, name] of Object.entries(names))
    if (Object.hasOwn(numbers, own)) found[name] = numbers[own];
  return found;
}
