// One node of a cluster within a test: a whole node, on a disk and at a place of its own, through all of its lives.
//
// Promise: kill() leaves what kill -9 leaves: on the disk what was committed, of the rest what happened to be; nobody is
// told. restart() is the same node again, at the same port. Left to others: its peers, and the network between them
// (test-cluster.ts).

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { serve, type Served, type ServeOptions } from "../../edge/serve.ts";
import { createMemoryDisk } from "../journal/memory-disk.ts";
import type { Disk } from "../journal/disk.ts";
import type { MemoryMeeting } from "../node/memory-peers.ts";
import { startNode, type NodeOptions, type RunningNode } from "../node/node.ts";
import type { Peer } from "../transport/transport.ts";
import { version } from "../version.ts";
import { systemWorld } from "../world.ts";
import { diskOf, doorOf, Life, transportOf, worldOf } from "./life.ts";
import { TestClient } from "./test-client.ts";

export interface TestNodeParts {
  readonly meeting: MemoryMeeting;
  /** Where the node meets the others; from 1. */
  readonly place: number;
  /** Folder of all nodes' folders; null: in memory. */
  readonly folder: string | null;
  readonly settings: Readonly<Record<string, string>>;
}

export class TestNode extends TestClient {
  readonly #parts: TestNodeParts;
  readonly #memory: Disk = createMemoryDisk();
  #life = new Life();
  #node: RunningNode | null = null;
  #identity: RunningNode["identity"] | null = null;
  #port = 0;
  #paused = false;

  constructor(parts: TestNodeParts) {
    super();
    this.#parts = parts;
  }

  /** Node id: what the cluster's methods and its answers call it. */
  get id(): number {
    return this.#identity?.nodeId ?? 0;
  }

  /** "http://127.0.0.1:40123", the same in every life. */
  override get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get isRunning(): boolean {
    return this.#node !== null && !this.#paused;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  /** The folder that it keeps its data in; null: in memory. */
  get dir(): string | null {
    const { folder, place } = this.#parts;
    return folder === null ? null : join(folder, `node-${place}`);
  }

  /** The node's own broker while it lives; for what HTTP does not tell. */
  get running(): RunningNode | null {
    return this.#node;
  }

  /** `join`: URL of a member, for the first life of all nodes but the first; `peers`: what a later life knows of the
   *  others, where no folder tells. */
  async start(join?: string, peers: readonly Peer[] = []): Promise<void> {
    const { meeting, place, settings } = this.#parts;
    const life = new Life();
    this.#life = life;
    // A member tells others its URL before its door is open: the port is bound first, so that nobody else takes it.
    const port = this.#port === 0 ? await Port.bind() : null;
    this.#port = port?.port ?? this.#port;
    const network = meeting.at(place);
    const started = await startNode({
      storage: this.#storage(life, peers),
      http: { host: "127.0.0.1", port: this.#port, loopback: true },
      peer: meeting.place(place, join),
      network: { ...network, transport: (self) => transportOf(life, network.transport(self)) },
      serve: (options) => {
        const door = doorOf(life, options.door);
        return port === null ? serve({ ...options, door }) : port.open({ ...options, door });
      },
      version,
      settings,
      world: worldOf(life, systemWorld),
    });
    if ("heldBy" in started)
      throw new Error(`Cannot start: process ${started.heldBy?.pid ?? "?"} uses ${this.dir ?? ""}`);
    this.#node = started;
    this.#identity = started.identity;
  }

  /** As kill -9. Idempotent. */
  async kill(): Promise<void> {
    const node = this.#node;
    this.#node = null;
    this.#paused = false;
    this.#life.end();
    await node?.kill();
  }

  /** In order: what it leads is handed over first. Idempotent. */
  async stop(graceMs: number): Promise<void> {
    const node = this.#node;
    this.#node = null;
    await node?.stop({ graceMs });
  }

  /** As SIGSTOP; packets to it are the network's to hold. */
  pause(): void {
    this.#paused = true;
    this.#life.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#life.resume();
  }

  #storage(life: Life, peers: readonly Peer[]): NodeOptions["storage"] {
    const identity = this.#identity === null ? {} : { identity: this.#identity };
    const { dir } = this;
    if (dir === null) return { memory: diskOf(life, this.#memory), peers, ...identity };
    mkdirSync(dir, { recursive: true });
    return { dir, through: (disk) => diskOf(life, disk) };
  }
}

/** A bound port whose door comes later. */
class Port {
  readonly #served: Served;
  readonly #gate: { door: ServeOptions["door"] | null };

  static async bind(): Promise<Port> {
    const gate: { door: ServeOptions["door"] | null } = { door: null };
    const door: ServeOptions["door"] = {
      fetch: (request, info) => gate.door?.fetch(request, info) ?? closed(),
      close: () => gate.door?.close(),
      routes: [],
    };
    return new Port(await serve({ door, host: "127.0.0.1", port: 0 }), gate);
  }

  private constructor(served: Served, gate: { door: ServeOptions["door"] | null }) {
    this.#served = served;
    this.#gate = gate;
  }

  get port(): number {
    return this.#served.port;
  }

  open({ door }: ServeOptions): Promise<Served> {
    this.#gate.door = door;
    return Promise.resolve(this.#served);
  }
}

const closed = (): Response => new Response("The node is starting", { status: 503 });
