// Seeds that failed once, and what was wrong then. They run in every test run, and first against every mutant.
//
// The course of a seed changes with the code, so that none of them proves for ever what it proved once; but each is a
// world in which much happens.

export const knownSeeds: readonly number[] = [
  // A failed write was told before those behind it had settled; what they wrote was forgotten, a vote among it.
  50,
  59, 88, 249, 272,
  // A snapshot was restored into a fold that held something already.
  69, 141, 1092,
  // A replica that a change left alone went on believing in its former leader.
  1161,
  // A follower dropped the end of an append that began below its commit index, and nothing more came.
  189,
  // A follower whose core started anew in a group at rest did not ask what is committed.
  3077,
  // A proposal in the turn in which the core itself appended the end of a joint configuration.
  741, 4230,
  // A leader's write failed, and what was durable before it was replaced by another leader.
  6106,
  // A voter made room for another replica of its node while another voter was lost for good: no majority was left.
  8144,
  // The simulator's own: a log start was compared while the fold of a restarted follower was still being read.
  7148,
  // The simulator's own: the node of a group's only voter was replaced for good.
  7184,
  // The simulator's own: all voters but a lost one were to make room at once.
  7192,
  // The simulator's own: a node that was stopping was given another replica.
  7263,
];
