// The headers that answers have in common, laid out once for each media type and copied by the platform.
//
// Why: an answer built from an object of ten headers costs 2 us and more, a copy of ready Headers a quarter of that; and
// the broker's status, of which they tell, is asked ten times a second and not for every answer.

import type { Broker } from "../../src/broker/broker.ts";
import type { World } from "../../src/world.ts";
import { headerNames } from "../contract/names.ts";
import type { Visit } from "./visit.ts";

const statusMs = 100;

export class AnswerHeads {
  readonly #broker: Broker;
  readonly #world: World;
  #heads = new Map<string | null, Headers>();
  #term = -1;
  #readAt = -Infinity;

  constructor(broker: Broker, world: World) {
    this.#broker = broker;
    this.#world = world;
  }

  /** Headers of an answer of the media type; null: it has no body. Borrowed: not to be changed. */
  of(type: string | null): Headers {
    this.#refresh();
    let head = this.#heads.get(type);
    if (head === undefined) {
      head = this.#build(type);
      this.#heads.set(type, head);
    }
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
      vary: "Origin, Authorization",
      "x-content-type-options": "nosniff",
      [headerNames.version]: version,
      [headerNames.node]: String(nodeId),
      [headerNames.term]: String(term),
    });
    if (type !== null) head.set("content-type", type);
    return head;
  }
}

/** The answer to a visit: the common headers, then the visit's own. */
export function respond(
  visit: Visit,
  { status, type }: { readonly status: number; readonly type: string | null },
  body: BodyInit | null,
): Response {
  const response = new Response(body, { status, headers: visit.heads.of(type) });
  const { headers } = response;
  headers.set(headerNames.requestId, visit.requestId);
  const { ownHeaders } = visit;
  for (const name in ownHeaders) headers.set(name, ownHeaders[name]);
  return response;
}
