// A body that has gone silent ends; one whose reader is slow does not. In virtual time.

import { expect, test } from "bun:test";
import { systemWorld, type World } from "../../src/world.ts";
import { untilSilent } from "../../src/cli/silence.ts";

/** A world whose timers fire when the test says so. */
function handWorld(): {
  readonly world: World;
  readonly fire: () => void;
  readonly armed: () => boolean;
} {
  let due: (() => void) | null = null;
  const world: World = {
    ...systemWorld,
    setTimer(_delayMs, fn) {
      due = fn;
      return { cancel: () => void (due = null) };
    },
  };
  return { world, fire: () => due?.(), armed: () => due !== null };
}

const chunk = new Uint8Array([1]);

test("untilSilent() ends a body that says nothing, and cancels it", async () => {
  const { world, fire } = handWorld();
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(chunk),
    cancel: () => void (cancelled = true),
  });
  const chunks = untilSilent(body, { world, silenceMs: 45_000 });
  expect((await chunks.next()).value).toEqual(chunk);
  const next = chunks.next();
  fire();
  expect((await next).done).toBe(true);
  expect(cancelled).toBe(true);
});

test("untilSilent() counts no time in which its reader is busy", async () => {
  const { world, armed } = handWorld();
  const body = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(chunk) });
  const chunks = untilSilent(body, { world, silenceMs: 45_000 });
  await chunks.next();
  expect(armed()).toBe(false);
  await chunks.return(undefined);
});

test("untilSilent() ends with the body, and when its reader leaves the body is cancelled", async () => {
  const { world, armed } = handWorld();
  let cancelled = false;
  const ended = new ReadableStream<Uint8Array>({ start: (controller) => controller.close() });
  expect((await untilSilent(ended, { world, silenceMs: 1 }).next()).done).toBe(true);
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(chunk),
    cancel: () => void (cancelled = true),
  });
  for await (const _ of untilSilent(endless, { world, silenceMs: 1 })) break;
  expect(cancelled).toBe(true);
  expect(armed()).toBe(false);
});
