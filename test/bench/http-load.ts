// A client that costs little: so many keep-alive connections, each with one request under way, prepared bytes out, and
// of an answer only its status and its length looked at. What it measures is the server, as far as two cores allow.
//
// Left to others: what the requests mean. A status of 400 and above is counted as refused, never hidden.

export interface LoadOptions {
  readonly url: string;
  /** Connections, each with one request in flight. */
  readonly connections: number;
  /** How long new requests are begun, ms; those under way are awaited. */
  readonly ms: number;
  /** The n-th request, whole (see requestBytes). Borrowed until its answer. */
  readonly request: (n: number) => Uint8Array;
}

export interface LoadResult {
  readonly answered: number;
  /** Answers with a status of 400 and above, by status. */
  readonly refused: Readonly<Record<number, number>>;
  readonly wallMs: number;
  readonly perSecond: number;
  /** From the first byte sent to the answer's last, ms, in order of answers. */
  readonly latencyMs: readonly number[];
}

export interface RequestParts {
  readonly url: string;
  readonly method: string;
  readonly path: string;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/** One HTTP/1.1 request as bytes. */
export function requestBytes(parts: RequestParts): Uint8Array {
  const head =
    `${parts.method} ${parts.path} HTTP/1.1\r\nhost: ${new URL(parts.url).host}\r\n` +
    `content-type: ${parts.contentType}\r\ncontent-length: ${parts.body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), parts.body]);
}

/** Runs the load on this thread. Rejects when a connection breaks. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const run: Run = {
    options,
    begun: 0,
    endsAt: performance.now() + options.ms,
    latencyMs: [],
    refused: {},
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: options.connections }, () => drive(run)));
  const wallMs = performance.now() - startedAt;
  const answered = run.latencyMs.length;
  const perSecond = (answered / wallMs) * 1_000;
  return { answered, refused: run.refused, wallMs, perSecond, latencyMs: run.latencyMs };
}

interface Run {
  readonly options: LoadOptions;
  readonly endsAt: number;
  readonly latencyMs: number[];
  readonly refused: Record<number, number>;
  begun: number;
}

/** One connection from its first request to its last answer. */
function drive(run: Run): Promise<void> {
  const { hostname, port } = new URL(run.options.url);
  return new Promise((resolve, reject) => {
    let unsent: Uint8Array = new Uint8Array(0);
    let sentAt = 0;
    let received = "";
    const next = (socket: Bun.Socket) => {
      if (performance.now() >= run.endsAt) {
        resolve();
        socket.end();
        return;
      }
      unsent = run.options.request(run.begun++);
      sentAt = performance.now();
      push(socket);
    };
    const push = (socket: Bun.Socket) => {
      if (unsent.length > 0) unsent = unsent.subarray(Math.max(0, socket.write(unsent)));
    };
    const take = (socket: Bun.Socket, chunk: Buffer) => {
      received += chunk.toString("latin1");
      const answer = parseAnswer(received);
      if (answer === null) return;
      received = received.slice(answer.length);
      run.latencyMs.push(performance.now() - sentAt);
      if (answer.status >= 400) run.refused[answer.status] = (run.refused[answer.status] ?? 0) + 1;
      next(socket);
    };
    const socket = { open: next, drain: push, data: take, close: () => reject(closed()) };
    Bun.connect({ hostname, port: Number(port), socket }).catch(reject);
  });
}

const closed = (): Error => new Error("The server closed a connection under load");

/** Status and whole length of the first answer; null while it is incomplete. */
function parseAnswer(text: string): { readonly status: number; readonly length: number } | null {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const status = Number(text.slice(9, 12));
  if (status === 204) return { status, length: end + 4 };
  const body = /content-length: *(\d+)/i.exec(text.slice(0, end));
  if (body === null) throw new Error(`An answer tells no length: ${text.slice(0, end)}`);
  const length = end + 4 + Number(body[1]);
  return text.length < length ? null : { status, length };
}

/** Counts of refusals as words; "" when there were none. */
export function refusals(result: LoadResult): string {
  return Object.entries(result.refused)
    .map(([status, count]) => `${count} x ${status}`)
    .join(", ");
}
