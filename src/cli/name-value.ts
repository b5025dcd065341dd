// NAME=VALUE, as flags give settings.

import { Failure } from "./failure.ts";

/** The pairs as an object; the last of equal names wins. Throws Failure that names `flag` for what is no pair. */
export function nameValues(pairs: readonly string[], flag: string): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) throw new Failure(`${flag} must be NAME=VALUE, got "${pair}"`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}
