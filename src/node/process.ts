// A node as a process: what ends it, and how.
//
//   SIGTERM, SIGINT, SIGHUP        stop in order: answer, flush, clean-stop mark
//   the launcher's pipe ends       the same: the launcher is dead
//   a second signal, 1 s later     leave at once; what was acknowledged is on the disk, the next start recovers
//   an error that nobody caught    log it and leave at once: a node in an unknown state must not go on writing
//
// One signal may arrive twice within moments (a terminal sends it to the group, a supervisor to the process): that is
// one wish.

import { createReadStream } from "node:fs";
import process from "node:process";
import type { World } from "../world.ts";
import type { Log } from "./logs.ts";

/** Signals closer together than this are one. */
const sameWishMs = 1_000;
const signals = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/** Why the process should stop. */
export interface StopWish {
  /** "SIGTERM", or "the launcher is gone". */
  readonly why: string;
}

/** Resolves at the first wish to stop; from then on a later one ends the process at once. */
export function stopWish(world: World, log: Log): Promise<StopWish> {
  return new Promise((resolve) => {
    let first: number | null = null;
    const wish = (why: string, code: number): void => {
      const now = world.monotonic();
      if (first === null) {
        first = now;
        resolve({ why });
      } else if (now - first >= sameWishMs) {
        log.write("warn", "Leaving at once; the next start recovers", { why });
        process.exit(code);
      }
    };
    for (const [name, number] of Object.entries(signals))
      process.on(name, () => wish(name, 128 + number));
    watchLauncher(() => wish("the launcher is gone", 1));
    dieOfTheUnexpected(log);
  });
}

/** The launcher holds the other end of a pipe; it ends when the launcher does, even by kill -9. */
function watchLauncher(gone: () => void): void {
  const descriptor = process.env.RIVULET_LAUNCHER_PIPE;
  if (descriptor === undefined) return;
  delete process.env.RIVULET_LAUNCHER_PIPE;
  const pipe = createReadStream("", { fd: Number(descriptor) });
  pipe.on("error", () => undefined);
  pipe.on("end", gone);
  pipe.resume();
}

function dieOfTheUnexpected(log: Log): void {
  const die = (error: unknown): void => {
    const shown = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.write("error", "An unexpected error ends this node", { error: shown });
    process.exit(70);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
}
