// The part of Deno that serving needs; the project's types are Bun's.
//
// Promise: the shapes of Deno 2's own declarations, cut to what is used here. Left to others: what is served (edge, the
// peer port), and whether this is Deno at all.

export interface DenoServer {
  readonly addr: { readonly port: number };
  readonly finished: Promise<void>;
}

export interface DenoRuntime {
  serve(
    options: {
      hostname: string;
      port: number;
      signal: AbortSignal;
      onListen: () => void;
      onError: () => Response;
      /** PEM; both or neither. */
      cert?: string;
      key?: string;
    },
    handler: (
      request: Request,
      /** Settles when the answer was sent, or could not be. */
      info: { readonly completed: Promise<void> },
    ) => Response | Promise<Response>,
  ): DenoServer;
}

/** Only where "Deno" stands in globalThis. */
export function denoRuntime(): DenoRuntime {
  return (globalThis as unknown as { readonly Deno: DenoRuntime }).Deno;
}
