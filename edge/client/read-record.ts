// A record as it was read: bytes, text or JSON, whichever is asked for.
//
// Promise: `value` is what was written, byte for byte; text that came as text is turned into bytes only when asked for.

import { fromBase64 } from "./base64.ts";
import type { HeaderValue } from "./new-record.ts";

/** How a record travels in answers and events. */
export interface RecordJson {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key?: string | null;
  readonly keyBase64?: string | null;
  readonly value?: string | null;
  readonly valueBase64?: string | null;
  readonly headers: readonly (readonly [string, string | null | { readonly base64: string }])[];
}

export class ReadRecord {
  readonly partition: number;
  readonly offset: number;
  /** ms since the Unix epoch; -1: the record has none. */
  readonly timestamp: number;
  readonly #json: RecordJson;

  constructor(json: RecordJson) {
    this.partition = json.partition;
    this.offset = json.offset;
    this.timestamp = json.timestamp;
    this.#json = json;
  }

  /** Text, or bytes that are no UTF-8, or null. */
  get key(): string | Uint8Array | null {
    const { key, keyBase64 } = this.#json;
    return textOrBytes(key, keyBase64);
  }

  /** Owned by the caller; null is a tombstone. */
  get value(): Uint8Array | null {
    const { value, valueBase64 } = this.#json;
    if (typeof value === "string") return new TextEncoder().encode(value);
    return typeof valueBase64 === "string" ? fromBase64(valueBase64) : null;
  }

  /** Headers in the order written; a name may come twice. */
  get headers(): readonly (readonly [string, HeaderValue])[] {
    return this.#json.headers.map(([name, value]) => {
      return [name, value === null || typeof value === "string" ? value : fromBase64(value.base64)];
    });
  }

  /** null is a tombstone. Throws TypeError when the bytes are no UTF-8. */
  text(): string | null {
    const { value, valueBase64 } = this.#json;
    if (typeof value === "string") return value;
    if (typeof valueBase64 !== "string") return null;
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      fromBase64(valueBase64),
    );
  }

  /** The value parsed; null also for a tombstone. Throws SyntaxError when it is no JSON. `T` is the caller's word. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- a cast at the call is what is wanted
  json<T = unknown>(): T {
    return JSON.parse(this.text() ?? "null") as T;
  }
}

function textOrBytes(
  text: string | null | undefined,
  base64: string | null | undefined,
): string | Uint8Array | null {
  if (typeof text === "string") return text;
  return typeof base64 === "string" ? fromBase64(base64) : null;
}
