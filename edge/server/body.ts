// Reads a request's body within limits of size and time.
//
// Promise: never more than limits.requestBodyBytesMax bytes are held, whatever Content-Length said; a body that is not
// there after limits.bodyMsMax is refused; a body that breaks off is refused, so that nothing of it is applied.

import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { acceptedEncodings, bodyEncoding } from "./content-encoding.ts";
import type { Deadline } from "./deadlines.ts";
import type { Services } from "./services.ts";
import type { Visit } from "./visit.ts";

const empty = new Uint8Array(0);

/** The whole body, owned by the caller. */
export function readBody(services: Services, visit: Visit): Promise<Uint8Array | Refusal> {
  const encoding = visit.headers["content-encoding"];
  return encoding === undefined
    ? readSent(services, visit)
    : readDecoded(services, visit, encoding);
}

async function readDecoded(
  services: Services,
  visit: Visit,
  header: string,
): Promise<Uint8Array | Refusal> {
  const encoding = bodyEncoding(header);
  if (encoding !== null && typeof encoding === "object") {
    visit.ownHeaders["accept-encoding"] = acceptedEncodings;
    return encoding;
  }
  const bytes = await readSent(services, visit);
  if (encoding === null || !(bytes instanceof Uint8Array)) return bytes;
  return services.decoder.decode(bytes, encoding);
}

function readSent(services: Services, visit: Visit): Promise<Uint8Array | Refusal> {
  const { headers, info, request } = visit;
  const length = headers["content-length"];
  if (length !== undefined && Number(length) > limits.requestBodyBytesMax) {
    return Promise.resolve(tooLarge(`${length} bytes`));
  }
  const framed = info.framed && length !== undefined && headers["transfer-encoding"] === undefined;
  return framed ? readFramed(services, request) : readCounted(services, request);
}

function tooLarge(found: string): Refusal {
  const detail = `A body may have ${limits.requestBodyBytesMax} bytes, got ${found}`;
  return refuse("body_too_large", detail);
}

function brokenOff(): Refusal {
  return refuse("invalid_request", "The body broke off; nothing was applied");
}

function tooSlow(): Refusal {
  return refuse("request_body_timeout", `A body must arrive within ${limits.bodyMsMax} ms`);
}

/** The runtime's parser holds the body to its Content-Length, which was checked. */
function readFramed(services: Services, request: Request): Promise<Uint8Array | Refusal> {
  const { deadlines, world } = services;
  return new Promise((resolve) => {
    const deadline: Deadline = {
      dueAt: world.monotonic() + limits.bodyMsMax,
      expire: () => resolve(tooSlow()),
    };
    const settle = (read: Uint8Array | Refusal): void => {
      deadlines.remove(deadline);
      resolve(read);
    };
    deadlines.add(deadline);
    request.bytes().then(settle, () => settle(brokenOff()));
  });
}

/** Counts while it reads. */
async function readCounted(services: Services, request: Request): Promise<Uint8Array | Refusal> {
  if (request.body === null) return empty;
  const reader = (request.body as ReadableStream<Uint8Array>).getReader();
  let late = false;
  const deadline: Deadline = {
    dueAt: services.world.monotonic() + limits.bodyMsMax,
    expire() {
      late = true;
      reader.cancel().catch(() => undefined);
    },
  };
  services.deadlines.add(deadline);
  try {
    const read = await readChunks(reader);
    return late ? tooSlow() : read;
  } catch {
    return late ? tooSlow() : brokenOff();
  } finally {
    services.deadlines.remove(deadline);
  }
}

async function readChunks(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<Uint8Array | Refusal> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return chunks.length === 1 ? chunks[0] : joined(chunks, bytes);
    bytes += value.length;
    if (bytes > limits.requestBodyBytesMax) {
      reader.cancel().catch(() => undefined);
      return tooLarge("more");
    }
    chunks.push(value);
  }
}

function joined(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
