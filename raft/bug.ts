// The core's own alarm: a broken invariant stops the node before it can harm the log.
//
// Promise: the message prints what was wanted and what was found. A RaftBug never means bad input from a peer, a full
// disk or a host's legitimate use; after one, the node must not be stepped again. (raft/ imports nothing from outside,
// so it does not share src/assert.ts.)

/** A broken invariant: not retryable, not caused by input. The message names the values. */
export class RaftBug extends Error {
  override readonly name = "RaftBug";
}

/** Call as `if (!holds) bug(...)`: the message is then built only when it is needed. */
export function bug(message: string): never {
  throw new RaftBug(message);
}
