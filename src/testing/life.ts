// One life of a node within a test's process: it can be stopped as SIGSTOP stops a process, and ended as kill -9 ends it.
//
//   timers, ends of disk calls, packets, requests --> run() --> alive: now
//                                                               paused: at resume(), in order
//                                                               dead: never
//
// Promise: after end() nothing that the node began before reaches its disk, its peers or its clients; while paused nothing
// new begins. What runs in this very turn is not interrupted. Left to others: what is passed through it (test-node.ts).

import type { ServeOptions } from "../../edge/serve.ts";
import type { Disk } from "../journal/disk.ts";
import type { Transport, TransportEvents } from "../transport/transport.ts";
import type { World } from "../world.ts";

export class Life {
  #state: "running" | "paused" | "dead" = "running";
  readonly #held: (() => void)[] = [];

  get isDead(): boolean {
    return this.#state === "dead";
  }

  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    for (const work of this.#held.splice(0)) this.run(work);
  }

  /** For good. */
  end(): void {
    this.#state = "dead";
    this.#held.length = 0;
  }

  run(work: () => void): void {
    if (this.#state === "running") work();
    else if (this.#state === "paused") this.#held.push(work);
  }

  /** Begins the work when this life runs and tells its outcome likewise; a promise that never settles once it is over. */
  through<T>(work: () => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const begin = async (): Promise<void> => {
        try {
          const value = await work();
          this.run(() => resolve(value));
        } catch (fault) {
          this.run(() => reject(fault));
        }
      };
      this.run(() => void begin());
    });
  }
}

/** The world as the node sees it: clocks go on while it is stopped, timers come late or never. */
export function worldOf(life: Life, world: World): World {
  return {
    now: () => world.now(),
    monotonic: () => world.monotonic(),
    random: () => world.random(),
    randomBytes: (length) => world.randomBytes(length),
    setTimer(delayMs, fn) {
      let cancelled = false;
      const timer = world.setTimer(delayMs, () =>
        life.run(() => {
          if (!cancelled) fn();
        }),
      );
      return {
        cancel() {
          cancelled = true;
          timer.cancel();
        },
      };
    },
    defer: (fn) => world.defer(() => life.run(fn)),
  };
}

/** The disk as the node sees it. What was asked of it before the end may have happened or not, as with any crash; it lets
 *  itself be closed behind the end, without a mark of a clean stop. */
export function diskOf(life: Life, disk: Disk): Disk {
  return {
    open: () => life.through(() => disk.open()),
    roll: (name, image) => life.through(() => disk.roll(name, image)),
    commit: (commit) => life.through(() => disk.commit(commit)),
    read: (read) => life.through(() => disk.read(read)),
    seal: (plan, pause) => life.through(() => disk.seal(plan, pause)),
    remove: (names) => life.through(() => disk.remove(names)),
    space: () => life.through(() => disk.space()),
    close: (index) => disk.close(life.isDead ? null : index),
  };
}

/** The node's end of the network; packets to a stopped node are the network's to hold (clog()). */
export function transportOf(life: Life, transport: Transport): Transport {
  return {
    open: (events) => transport.open(eventsOf(life, events)),
    get address() {
      return transport.address;
    },
    setPeers: (peers) => transport.setPeers(peers),
    send: (to, lane, packet) => transport.send(to, lane, packet),
    room: (to, lane) => transport.room(to, lane),
    links: () => transport.links(),
    metrics: () => transport.metrics(),
    close: () => transport.close(),
  };
}

function eventsOf(life: Life, events: TransportEvents): TransportEvents {
  return {
    onPacket: (packet) => life.run(() => events.onPacket(packet)),
    onUp: (nodeId) => life.run(() => events.onUp(nodeId)),
    onBroken: (nodeId, lane) => life.run(() => events.onBroken(nodeId, lane)),
    onDown: (nodeId) => life.run(() => events.onDown(nodeId)),
  };
}

/** The door as clients see it: a stopped node takes their requests and answers them later, a dead one never. */
export function doorOf(life: Life, door: ServeOptions["door"]): ServeOptions["door"] {
  return {
    fetch: (request, info) => life.through(() => door.fetch(request, info)),
    // A dead node says goodbye to nobody.
    close: () => life.run(() => door.close()),
    routes: door.routes,
  };
}
