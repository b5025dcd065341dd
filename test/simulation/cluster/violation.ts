// A broken promise of the cluster, named: what the table of mutants counts as "killed by".

/** Told each violation as it comes to be: the code under test may catch what is thrown through it. */
let sink: (error: unknown) => void = () => {};

/** Until the next call; one cluster runs at a time. */
export function tellViolations(to: (error: unknown) => void): void {
  sink = to;
}

/** Passes on what `work` throws, and tells it: for bugs that the core throws by itself. */
export function telling<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    sink(error);
    throw error;
  }
}

export class Violation extends Error {
  override readonly name = "Violation";
  /** Which invariant, e.g. "election safety". */
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
    sink(this);
  }
}
