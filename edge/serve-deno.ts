// The door on Deno.serve.

import { urlOf, type Served, type ServeOptions } from "./serve.ts";

/** The part of Deno that is used here; the project's types are Bun's. */
interface DenoServer {
  readonly addr: { readonly port: number };
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
}

interface DenoRuntime {
  serve(
    options: {
      hostname: string;
      port: number;
      signal: AbortSignal;
      onListen: () => void;
      onError: () => Response;
    },
    handler: (request: Request) => Response | Promise<Response>,
  ): DenoServer;
}

export async function serveOnDeno({ door, host, port }: ServeOptions): Promise<Served> {
  const { Deno } = globalThis as unknown as { readonly Deno: DenoRuntime };
  const abort = new AbortController();
  const framed = { framed: true };
  const server = Deno.serve(
    {
      hostname: host,
      port,
      signal: abort.signal,
      onListen: () => undefined,
      onError: () => new Response(null, { status: 500 }),
    },
    (request) => door.fetch(request, framed),
  );
  const bound = server.addr.port;
  let stopping: Promise<void> | null = null;
  return {
    url: urlOf(host, bound),
    port: bound,
    stop: ({ graceMs }) => (stopping ??= stop(door, { server, abort, graceMs })),
  };
}

async function stop(
  door: ServeOptions["door"],
  { server, abort, graceMs }: { server: DenoServer; abort: AbortController; graceMs: number },
): Promise<void> {
  door.close();
  const late = AbortSignal.timeout(graceMs);
  const waited = new Promise<"late">((resolve) => {
    late.addEventListener("abort", () => resolve("late"), { once: true });
  });
  // Aborting a server that has shut down throws "Bad resource ID" out of Deno's own listener.
  if ((await Promise.race([server.shutdown(), waited])) === "late") abort.abort();
  await server.finished.catch(() => undefined);
}
