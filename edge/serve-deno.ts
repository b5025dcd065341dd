// The door on Deno.serve.

import { denoRuntime, type DenoServer } from "../src/deno-runtime.ts";
import { urlOf, type Served, type ServeOptions } from "./serve.ts";

export async function serveOnDeno({ door, host, port }: ServeOptions): Promise<Served> {
  const abort = new AbortController();
  const framed = { framed: true };
  const underWay = new Set<Promise<void>>();
  const server = denoRuntime().serve(
    {
      hostname: host,
      port,
      signal: abort.signal,
      onListen: () => undefined,
      onError: () => new Response(null, { status: 500 }),
    },
    (request, { completed }) => {
      const sent: Promise<void> = completed.then(
        () => void underWay.delete(sent),
        () => void underWay.delete(sent),
      );
      underWay.add(sent);
      return door.fetch(request, framed);
    },
  );
  const bound = server.addr.port;
  let stopping: Promise<void> | null = null;
  return {
    url: urlOf(host, bound),
    port: bound,
    stop: ({ graceMs }) => (stopping ??= stop(door, { server, abort, underWay, graceMs })),
  };
}

interface Running {
  readonly server: DenoServer;
  readonly abort: AbortController;
  readonly underWay: ReadonlySet<Promise<void>>;
  readonly graceMs: number;
}

/** Deno's own shutdown() is not used: a server that it has begun to close cannot be aborted any more ("Bad resource ID"
 *  ends the process), and an idle kept-alive connection would hold it. The closed door refuses what still arrives. */
async function stop(
  door: ServeOptions["door"],
  { server, abort, underWay, graceMs }: Running,
): Promise<void> {
  door.close();
  const late = AbortSignal.timeout(graceMs);
  const waited = new Promise<void>((resolve) => {
    late.addEventListener("abort", () => resolve(), { once: true });
  });
  while (underWay.size > 0 && !late.aborted)
    await Promise.race([Promise.allSettled(underWay), waited]);
  abort.abort();
  await server.finished.catch(() => undefined);
}
