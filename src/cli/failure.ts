// The two ways in which a command ends early: it could not do its work, or nobody reads what it prints any more.

/** What a person reads when a command could not do its work; exit code 1. */
export class Failure extends Error {
  override readonly name = "Failure";
}

/** The reader of standard output has closed it (`rivulet consume t | head -1`): the command is done, exit code 0. */
export class ClosedPipe extends Error {
  override readonly name = "ClosedPipe";
}
