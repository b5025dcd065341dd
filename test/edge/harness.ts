// A door over a real broker for tests: journal, replica host, raft core and partitions as in a node, on a disk in memory.
// Requests go in without sockets, and every answer is held against the OpenAPI document.
//
// The door has a clock of its own that stands still until a test moves it; the broker runs on the real one.

import { createBroker } from "../../src/broker/create-broker.ts";
import type { Broker } from "../../src/broker/broker.ts";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { SlabPool } from "../../src/bytes/slab.ts";
import { createReplicaHost } from "../../src/consensus/host.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { systemWorld } from "../../src/world.ts";
import { createDoor, type Door } from "../../edge/server/door.ts";
import type { DoorOptions } from "../../edge/server/services.ts";
import { VirtualWorld } from "../broker/virtual-world.ts";
import { checkAnswer } from "./conformance.ts";

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Json;
}

/** What answers hold, for tests to look into; an answer has some of it. */
export interface Json {
  readonly [name: string]: unknown;
  readonly code: string;
  readonly detail: string;
  readonly cursor: string;
  readonly records: readonly JsonRecord[];
  readonly receipts: readonly (JsonRecord & { readonly error?: { readonly code: string } })[];
  readonly partitions: readonly Readonly<Record<string, number>>[];
  readonly items: readonly Readonly<Record<string, unknown>>[];
}

export interface JsonRecord {
  readonly [name: string]: unknown;
  readonly partition: number;
  readonly offset: number;
  readonly value?: string | null;
}

export interface DoorUnderTest {
  readonly world: VirtualWorld;
  readonly broker: Broker;
  readonly slabs: SlabPool;
  readonly door: Door;
  /** "METHOD /path" and a body: text and bytes are sent as they are, another value as JSON. */
  ask(line: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answered>;
  /** The answer as it comes, unchecked. */
  send(line: string, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

/** `wrap` may put itself between door and broker. */
export async function openDoor(
  options: Partial<DoorOptions> = {},
  wrap: (broker: Broker) => Broker = (broker) => broker,
): Promise<DoorUnderTest> {
  const world = new VirtualWorld();
  const slabs = createSlabPool();
  const broker = wrap(await memoryBroker(slabs));
  const door = createDoor({ broker, slabs, world, options });
  const send = async (line: string, init: RequestInit = {}): Promise<Response> => {
    const [method = "", path = ""] = line.split(" ");
    return door.fetch(new Request(`http://127.0.0.1:7480${path}`, { method, ...init }));
  };
  return {
    world,
    broker,
    slabs,
    door,
    send,
    async ask(line, body, headers = {}) {
      const response = await send(line, initOf(body, headers));
      const text = await response.text();
      const contentType = response.headers.get("content-type") ?? "";
      const [method = "", path = ""] = line.split(" ");
      checkAnswer({ method, path }, { status: response.status, contentType, text });
      return { status: response.status, headers: response.headers, text, json: parsed(text) };
    },
    async close() {
      door.close();
      await broker.close();
    },
  };
}

export async function memoryBroker(slabs: SlabPool): Promise<Broker> {
  const world = systemWorld;
  const journal = await openJournal({ world, disk: createMemoryDisk(), slabs });
  const host = createReplicaHost({ world, journal, nodeId: 1 });
  const options = { nodeId: 1, version: "0.1.0" };
  return await createBroker({ world, journal, host, slabs, options });
}

/** The broker with some of its verbs replaced. */
export function overriding(broker: Broker, verbs: Partial<Broker>): Broker {
  return new Proxy(broker, {
    get(target, name) {
      const own = verbs[name as keyof Broker];
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function initOf(body: unknown, headers: Readonly<Record<string, string>>): RequestInit {
  if (body === undefined) return { headers };
  const raw = typeof body === "string" || body instanceof Uint8Array;
  return {
    headers: { "content-type": "application/json", ...headers },
    body: (raw ? body : JSON.stringify(body)) as BodyInit,
  };
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null as unknown as Json;
  }
}
