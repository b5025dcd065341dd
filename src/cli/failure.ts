// The ways in which a command ends early: it could not do its work, its options do not go together, or nobody reads what
// it prints any more.

/** What a person reads when a command could not do its work; exit code 1. */
export class Failure extends Error {
  override readonly name = "Failure";
}

/** Options that are right one by one and wrong together; exit code 2, as for one that is wrong by itself. */
export class WrongUsage extends Failure {}

/** The reader of standard output has closed it (`rivulet consume t | head -1`): the command is done, exit code 0. */
export class ClosedPipe extends Error {
  override readonly name = "ClosedPipe";
}
