// The headers of answers, laid out ahead and copied by the platform.
//
// Why: measured on Bun, an answer built from an object of nine headers costs 3 us, one whose `headers` are touched after
// it was made 2 us, and a copy of a ready Headers object whose two or three values were set before 1 us. So there is one
// such object for each set of names; it is used between two awaits only. And the broker's status, of which the headers
// tell, is asked ten times a second and not for every answer.

import type { Broker } from "../../src/broker/broker.ts";
import type { World } from "../../src/world.ts";
import { headerNames } from "../contract/names.ts";
import { encodeText, encodingOf } from "./content-encoding.ts";
import type { Visit } from "./visit.ts";

const statusMs = 100;

export class AnswerHeads {
  readonly #broker: Broker;
  readonly #world: World;
  /** By media type and the names of own headers: the routes know only so many sets of names. */
  #heads = new Map<string, Headers>();
  #term = -1;
  #readAt = -Infinity;

  constructor(broker: Broker, world: World) {
    this.#broker = broker;
    this.#world = world;
  }

  /** Headers of an answer: the common ones, the visit's own, and the media type (null: no body). Borrowed until the
   *  next call: the platform copies them into the answer. */
  of(visit: Visit, type: string | null): Headers {
    this.#refresh();
    const { ownHeaders } = visit;
    let names = type ?? "";
    for (const name in ownHeaders) names += `\n${name}`;
    let head = this.#heads.get(names);
    if (head === undefined) {
      head = this.#build(type);
      this.#heads.set(names, head);
    }
    head.set(headerNames.requestId, visit.requestId);
    for (const name in ownHeaders) head.set(name, ownHeaders[name]);
    return head;
  }

  #refresh(): void {
    const now = this.#world.monotonic();
    if (now - this.#readAt < statusMs) return;
    this.#readAt = now;
    const { term } = this.#broker.status();
    if (term === this.#term) return;
    this.#term = term;
    this.#heads = new Map();
  }

  #build(type: string | null): Headers {
    const { version, nodeId, term } = this.#broker.status();
    const head = new Headers({
      "cache-control": "no-cache",
      vary: "Origin, Authorization, Accept, Accept-Encoding",
      "x-content-type-options": "nosniff",
      [headerNames.version]: version,
      [headerNames.node]: String(nodeId),
      [headerNames.term]: String(term),
    });
    if (type !== null) head.set("content-type", type);
    return head;
  }
}

/** The answer to a visit: the common headers, then the visit's own. A text that is worth it is encoded as the caller likes. */
export function respond(
  visit: Visit,
  { status, type }: { readonly status: number; readonly type: string | null },
  body: BodyInit | null,
): Response {
  // What answers HEAD is never read.
  if (typeof body === "string" && visit.request.method !== "HEAD") {
    const encoding = encodingOf(body, visit.headers["accept-encoding"]);
    if (encoding !== null) {
      visit.ownHeaders["content-encoding"] = encoding;
      return new Response(encodeText(body, encoding), {
        status,
        headers: visit.heads.of(visit, type),
      });
    }
  }
  return new Response(body, { status, headers: visit.heads.of(visit, type) });
}
