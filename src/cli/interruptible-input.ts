// Standard input that a signal ends, but not before what already stands in the pipe was taken.
//
//   tail -F file | rivulet produce t
//                ^ lines that tail has let go of and nobody has read: after a signal they still come, as long as no
//                  200 ms pass without any, and 1 MiB at most
//
// Promise: an input that ends by itself is passed on unchanged; one that a signal ends throws Interrupted, so that an
// unfinished last line is told from a whole one.

import type { World } from "../world.ts";

const quietMs = 200;
const drainedBytesMax = 1024 * 1024;

/** A signal ended the input. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** The chunks of `input`. Throws Interrupted once `signal` is aborted and the pipe is drained or has ended. */
export async function* interruptibleInput(
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  world: World,
): AsyncGenerator<Uint8Array> {
  const chunks = input[Symbol.asyncIterator]();
  let drained = 0;
  while (drained < drainedBytesMax) {
    const quiet = quietAfter(signal, world);
    const next = await Promise.race([chunks.next(), quiet.passed]);
    quiet.cancel();
    const ended = next === "quiet" || next.done === true;
    if (ended && signal.aborted) throw new Interrupted();
    if (ended) return;
    if (signal.aborted) drained += next.value.length;
    yield next.value;
  }
  throw new Interrupted();
}

/** Resolves when so long has passed since the signal, or since now when it came before. */
function quietAfter(
  signal: AbortSignal,
  world: World,
): { readonly passed: Promise<"quiet">; cancel(): void } {
  const { promise: passed, resolve } = Promise.withResolvers<"quiet">();
  const stops: (() => void)[] = [];
  const begin = (): void => {
    const timer = world.setTimer(quietMs, () => resolve("quiet"));
    stops.push(() => timer.cancel());
  };
  if (signal.aborted) begin();
  else {
    signal.addEventListener("abort", begin);
    stops.push(() => signal.removeEventListener("abort", begin));
  }
  return {
    passed,
    cancel() {
      for (const stop of stops) stop();
    },
  };
}
