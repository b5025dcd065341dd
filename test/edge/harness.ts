// A door over a broker for tests: requests without sockets, answers checked as far as every test wants it.

import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { createDoor, type Door } from "../../edge/server/door.ts";
import type { DoorOptions } from "../../edge/server/services.ts";
import { scriptedBroker, type ScriptedBroker } from "../broker/harness.ts";

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Json;
}

/** A JSON value that a test looks into. */
export type Json = { readonly [name: string]: Json } & readonly Json[] & string & number & boolean;

export interface DoorUnderTest extends ScriptedBroker {
  readonly door: Door;
  /** "METHOD /path" and a body: a string is sent as it is, another value as JSON. */
  ask(line: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answered>;
  /** The answer as it comes. */
  send(line: string, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

export async function openDoor(options: Partial<DoorOptions> = {}): Promise<DoorUnderTest> {
  const scripted = await scriptedBroker();
  const { broker, world } = scripted;
  const door = createDoor({ broker, slabs: createSlabPool(), world, options });
  const send = async (line: string, init: RequestInit = {}): Promise<Response> => {
    const [method = "", path = ""] = line.split(" ");
    return door.fetch(new Request(`http://127.0.0.1:7480${path}`, { method, ...init }));
  };
  return {
    ...scripted,
    door,
    send,
    async ask(line, body, headers = {}) {
      const response = await send(line, initOf(body, headers));
      const text = await response.text();
      return { status: response.status, headers: response.headers, text, json: parsed(text) };
    },
    async close() {
      door.close();
      await broker.close();
    },
  };
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
