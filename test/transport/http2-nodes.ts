// Transports over HTTP/2 for tests, several in one process.

import { Fault } from "../../src/errors.ts";
import {
  createHttp2Transport,
  type Http2TransportOptions,
} from "../../src/transport/http2-transport.ts";
import { systemWorld } from "../../src/world.ts";
import type { Fixture, Member } from "./conformance.ts";
import { Recorder } from "./recorder.ts";

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface LoggedMember extends Member {
  readonly lines: LogLine[];
}

let boots = 0;

/** A started node on a free port of loopback. */
export async function startNode(
  nodeId: number,
  options: Partial<Http2TransportOptions> = {},
): Promise<LoggedMember> {
  const lines: LogLine[] = [];
  const transport = createHttp2Transport({
    world: systemWorld,
    nodeId,
    clusterId: "c",
    bootId: `boot-${(boots += 1)}`,
    listen: { host: "127.0.0.1", port: 0 },
    log: { write: (level, message, fields = {}) => void lines.push({ level, message, fields }) },
    ...options,
  });
  const told = new Recorder();
  await transport.open(told);
  return { nodeId, transport, told, lines };
}

export function http2Fixture(options: Partial<Http2TransportOptions> = {}): Fixture {
  const started: Member[] = [];
  return {
    async start(nodeId) {
      const member = await startNode(nodeId, options);
      started.push(member);
      return member;
    },
    kill: ({ transport }) => transport.close(),
    async end() {
      for (const { transport } of started) await transport.close();
    },
  };
}

/** The code of what a promise rejects with; "fulfilled" when it does not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "fulfilled",
    (thrown: unknown) => (thrown instanceof Fault ? thrown.code : String(thrown)),
  );
}
