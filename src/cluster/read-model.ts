// The read model: nodes, topics, partitions and configs as rows of state.db, for whoever wants to query them with SQL.
//
//   controller --changes--> queue --(one message at a time)--> Worker --drizzle--> state.db
//
// Promise: nothing waits for it and nothing is decided by it; the file may be deleted at any time, the next start fills
// it anew; when it fails, it falls silent and says so in a counter, and the node goes on. Left to others: truth.

import { encodeState } from "./cluster-snapshot.ts";
import type { Change, ClusterState } from "./cluster-state.ts";
import type { Timer, World } from "../world.ts";

export type ReadModelMessage =
  | { readonly kind: "fill"; readonly path: string; readonly state: Uint8Array }
  | { readonly kind: "change"; readonly changes: readonly Change[] }
  | { readonly kind: "close" };

export type ReadModelAnswer =
  { readonly ok: true } | { readonly ok: false; readonly detail: string };

/** Changes that may wait; beyond it the model is filled anew instead. */
const queueMax = 10_000;
/** A Worker that rests this long is ended: its memory is worth more than the next fill. */
const restMsMax = 5_000;

/** From the start of the node to the first fill: the Worker's modules cost some 100 ms of a core. */
const startDelayMs = 1_000;

export interface ReadModelOptions {
  readonly world: World;
  readonly path: string;
  /** Read when the turn of a fill comes. */
  readonly state: () => ClusterState;
}

export class ReadModel {
  readonly #options: ReadModelOptions;
  /** null while there is nothing to do. */
  #worker: Worker | null = null;
  /** The Worker has the file open: it follows by changes. Else the next message is a fill. */
  #open = false;
  /** Something has changed since the last message. */
  #dirty = true;
  /** The changes since the last message; empty while a fill comes next, which holds them. */
  #queue: Change[] = [];
  #busy = false;
  #closing = false;
  #failure: string | null = null;
  #rest: Timer | null = null;
  #idleWaiters: (() => void)[] = [];

  /** The file is filled a little later, or with the first change: nothing competes with the start of the node. */
  constructor(options: ReadModelOptions) {
    this.#options = options;
    this.#rest = options.world.setTimer(startDelayMs, () => this.#send());
  }

  /** Why the model no longer follows, or null. */
  get failure(): string | null {
    return this.#failure;
  }

  /** A committed change. Cost: a push. */
  changed(change: Change): void {
    if (this.#failure !== null || this.#closing || !concerns(change)) return;
    this.#dirty = true;
    if (this.#queue.length === queueMax) this.#open = false;
    if (this.#open) this.#queue.push(change);
    else this.#queue = [];
    this.#send();
  }

  /** Settles when nothing is being written: the file says what the state says, or never will. */
  async idle(): Promise<void> {
    while (this.#busy) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Ends the Worker when what is being written is written. Idempotent. */
  async close(): Promise<void> {
    await this.idle();
    this.#closing = true;
    await this.#end();
  }

  /** The file is closed before the Worker ends; what comes next begins with a fill. */
  async #end(): Promise<void> {
    this.#rest?.cancel();
    if (this.#worker === null || this.#busy) return;
    if (this.#failure === null) {
      this.#open = false;
      this.#post({ kind: "close" });
      await this.idle();
    }
    // A change that came meanwhile has opened it again.
    if (this.#open) return;
    this.#worker.terminate();
    this.#worker = null;
  }

  #send(): void {
    if (this.#busy || this.#failure !== null || this.#closing) return;
    this.#rest?.cancel();
    if (!this.#dirty) {
      this.#rest = this.#options.world.setTimer(restMsMax, () => void this.#end());
      return;
    }
    this.#dirty = false;
    const changes = this.#queue;
    this.#queue = [];
    if (this.#open) this.#post({ kind: "change", changes });
    else this.#fill();
  }

  #fill(): void {
    const { path, state } = this.#options;
    this.#open = true;
    this.#post({ kind: "fill", path, state: encodeState(state()) });
  }

  #post(message: ReadModelMessage): void {
    this.#busy = true;
    this.#worker ??= this.#start();
    this.#worker.postMessage(message, []);
  }

  #start(): Worker {
    const url = new URL("./read-model-worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    worker.addEventListener("message", (event: MessageEvent<ReadModelAnswer>) => {
      this.#answered(event.data);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#answered({ ok: false, detail: event.message });
    });
    return worker;
  }

  #answered(answer: ReadModelAnswer): void {
    this.#busy = false;
    if (!answer.ok) this.#fail(answer.detail);
    this.#send();
    if (!this.#busy) for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  /** For good: the next start of the node tries again. */
  #fail(detail: string): void {
    this.#failure ??= detail;
    this.#worker?.terminate();
    this.#worker = null;
  }
}

/** The tables hold nodes and topics alone. */
function concerns({ kind }: Change): boolean {
  return kind !== "none" && kind !== "producerIds" && kind !== "controllerVoters";
}
