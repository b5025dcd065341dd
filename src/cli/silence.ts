// Ends a body that has gone silent: a connection whose other end vanished without a word looks like a quiet one.
//
// Promise: only time spent waiting for the next chunk counts, so a reader that is slow itself cuts nothing off.
// Left to others: how often the other end speaks (a tail sends a comment each 15 s), what follows (consume.ts).

import type { World } from "../world.ts";

/** Three comments of a tail, ms: one that is late must not break it. */
export const tailSilenceMsMax = 45_000;

/** The chunks of a body, which ends (and is cancelled) when none came for silenceMs. */
export async function* untilSilent(
  body: ReadableStream<Uint8Array>,
  { world, silenceMs }: { readonly world: World; readonly silenceMs: number },
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const timer = world.setTimer(silenceMs, () => void reader.cancel());
      const { done, value } = await reader.read().finally(() => timer.cancel());
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
