// Assertions that stay on in production: a broken invariant stops the caller before it can harm the log.

/** A bug in Rivulet itself, never a refusal or a disk's fault. */
export class Bug extends Error {
  override readonly name = "Bug";
}

/** Throws Bug with the message when the condition is false. The message prints both values. */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new Bug(typeof message === "string" ? message : message());
}

/** The end of an exhaustive switch: the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new Bug(`Unreachable case: ${String(value)}`);
}
