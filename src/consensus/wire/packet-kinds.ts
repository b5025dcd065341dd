// The first byte of every packet's head: what the packet is, and in which layout. A changed layout takes a new number.

export const packetKinds = {
  /** message-codec.ts: a Raft message of one group. */
  message: 1,
  /** beat.ts: the node lives, and what it leads, in a few bytes. */
  beat: 2,
  /** led-pages.ts: "this is what I believe that you lead", as sums. */
  question: 3,
  /** led-pages.ts: what the sender leads, where the sums differ. */
  page: 4,
  /** welcome.ts: who takes part in a group, for a replica that joins. */
  welcome: 5,
  /** snapshot-parts.ts: data of a snapshot that is too large for one packet. */
  snapshotPart: 6,
} as const;
