// The door on Bun.serve.
//
// Seen on Bun 1.4: a head that only drips is cut off after about 11 s, whatever the idle timeout; a body's stream holds to back-pressure;
// `connection: close` on an answer closes the connection with the body unread; a response stream is pulled only as fast
// as its socket drains. Bun's own limit of heads is 16 KiB unless node:http is told otherwise.

import http from "node:http";
import { limits } from "../src/limits.ts";
import { urlOf, type Served, type ServeOptions } from "./serve.ts";

/** Silence after which a connection is closed: above limits.waitMsMax and the tail's 15 s between comments. */
const idleSeconds = 60;

export async function serveOnBun({ door, host, port }: ServeOptions): Promise<Served> {
  allowLongHeads();
  const framed = { framed: true };
  const server = Bun.serve({
    hostname: host,
    port,
    idleTimeout: idleSeconds,
    // Counted by the door while it reads, so that the refusal is a problem and not an empty 413.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request) => door.fetch(request, framed),
    // A fault behind the door's own net: nothing of it may leave the node.
    error: () => new Response(null, { status: 500 }),
  });
  const bound = server.port ?? port;
  let stopping: Promise<void> | null = null;
  return {
    url: urlOf(host, bound),
    port: bound,
    stop: ({ graceMs }) => (stopping ??= stop(door, server, graceMs)),
  };
}

function allowLongHeads(): void {
  // A setter in Bun, a constant elsewhere.
  Object.assign(http, { maxHeaderSize: limits.headerBytesMax + limits.urlBytesMax });
}

type BunServer = ReturnType<typeof Bun.serve>;

async function stop(door: ServeOptions["door"], server: BunServer, graceMs: number): Promise<void> {
  door.close();
  const drained = server.stop(false);
  const late = AbortSignal.timeout(graceMs);
  const waited = new Promise<void>((resolve) => {
    late.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([drained, waited]);
  await server.stop(true);
}
