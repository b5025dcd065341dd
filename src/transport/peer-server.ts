// The peer port, on Bun.serve or Deno.serve: HTTP/2 by prior knowledge or by TLS, and HTTP/1.1 on the same port.
//
// Promise: a request's body is a stream, and its answer may begin before it ends; on Bun a connection without a lane on
// which nothing moves is closed after idleSeconds (Deno has no such setting). Left to others: the routes, and lanes on
// which nothing moves.
//
// Bun 1.4 gives a stream a window of 64 KiB, which cannot be set, Deno's is 1 MiB: over a path of 10 ms one lane to a Bun
// node moves at most 6 MB/s.

import { denoRuntime } from "../deno-runtime.ts";
import type { PeerTls } from "./peer-auth.ts";

export interface PeerServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls: PeerTls | null;
  readonly fetch: (request: Request) => Promise<Response>;
  /** Default 60. */
  readonly idleSeconds?: number;
}

export interface PeerServer {
  readonly port: number;
  /** Ends every connection. Idempotent. */
  stop(): Promise<void>;
}

const defaultIdleSeconds = 60;
const lanePath = "/peer/v1/lanes/";

/** Throws what the runtime throws, e.g. when the port is in use. */
export function servePeers(options: PeerServerOptions): PeerServer {
  return "Deno" in globalThis ? serveOnDeno(options) : serveOnBun(options);
}

function serveOnBun({ host, port, tls, fetch, idleSeconds }: PeerServerOptions): PeerServer {
  const server = Bun.serve({
    hostname: host,
    port,
    http2: true,
    idleTimeout: idleSeconds ?? defaultIdleSeconds,
    // A lane is one body that never ends.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch(request, server) {
      // Bun counts a lane as idle whatever moves on it.
      if (new URL(request.url).pathname.startsWith(lanePath)) server.timeout(request, 0);
      return fetch(request);
    },
    error: () => new Response(null, { status: 500 }),
    ...(tls === null ? {} : { tls: { cert: tls.cert, key: tls.key } }),
  });
  return { port: server.port ?? port, stop: () => server.stop(true) };
}

function serveOnDeno({ host, port, tls, fetch }: PeerServerOptions): PeerServer {
  const abort = new AbortController();
  const server = denoRuntime().serve(
    {
      hostname: host,
      port,
      signal: abort.signal,
      onListen: () => undefined,
      onError: () => new Response(null, { status: 500 }),
      ...(tls === null ? {} : { cert: tls.cert, key: tls.key }),
    },
    fetch,
  );
  return {
    port: server.addr.port,
    async stop() {
      abort.abort();
      await server.finished.catch(() => undefined);
    },
  };
}
