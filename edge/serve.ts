// Puts a door on a port: Bun.serve or Deno.serve, whichever runtime this is. Sockets, timeouts and stopping live here.
//
// Promise: connections that send nothing, or drip their head, are closed; a head may have limits.headerBytesMax; stop()
// takes no new connection, lets answers under way finish within graceMs, then closes what is left. Left to others: what
// is answered (server/door.ts), how long a body may take (server/body.ts).

import type { Door } from "./server/door.ts";
import { serveOnBun } from "./serve-bun.ts";
import { serveOnDeno } from "./serve-deno.ts";

export interface ServeOptions {
  readonly door: Door;
  /** Address to bind; 127.0.0.1 unless the operator decided otherwise. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

export interface Served {
  /** "http://127.0.0.1:7480" */
  readonly url: string;
  readonly port: number;
  /** Closes the door, waits for answers under way at most graceMs, then closes every connection. Idempotent. */
  stop(options: { readonly graceMs: number }): Promise<void>;
}

/** Binds and answers. Throws what the runtime throws when the port cannot be bound (`code` EADDRINUSE, EACCES). */
export function serve(options: ServeOptions): Promise<Served> {
  return "Deno" in globalThis ? serveOnDeno(options) : serveOnBun(options);
}

/** The address as a URL's host: IPv6 in brackets, "any" as loopback. */
export function urlOf(host: string, port: number): string {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`;
}
