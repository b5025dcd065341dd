// A record as a program writes it, and the JSON text under which it travels.
//
//   value   a string: its text · bytes: as they are · null: a tombstone · anything else: as JSON
//
// Promise: what JSON would drop in silence (undefined, a function, a Map) is refused; the text is made once, so that
// what a program changes afterwards changes nothing. Left to others: what is valid (the node says).

import { toBase64 } from "./base64.ts";
import { RivuletError } from "./errors.ts";

type Bytes = Uint8Array | ArrayBuffer;
/** A header's value: text, bytes, or none. */
export type HeaderValue = string | Uint8Array | null;

export interface NewRecord {
  /** Text or bytes; absent or null: no key. Records of one key keep their order. */
  readonly key?: string | Bytes | null;
  /** Text, bytes, null (a tombstone), or a value that is written as JSON. */
  readonly value: unknown;
  readonly headers?:
    Readonly<Record<string, HeaderValue>> | readonly (readonly [string, HeaderValue])[];
  /** ms since the Unix epoch, or a Date; absent: the node's clock. */
  readonly timestamp?: number | Date;
  /** Absent: the key decides. */
  readonly partition?: number;
}

/** The record's JSON text. Throws RivuletError `invalid_record` for a value that has no JSON. */
export function recordText(record: NewRecord): string {
  const { key, headers, timestamp, partition } = record;
  const fields = [valueField(record.value)];
  if (key !== undefined && key !== null) fields.push(keyField(key));
  if (headers !== undefined) fields.push(`"headers":${JSON.stringify(headerList(headers))}`);
  if (timestamp !== undefined) fields.push(`"timestamp":${JSON.stringify(Number(timestamp))}`);
  if (partition !== undefined) fields.push(`"partition":${JSON.stringify(partition)}`);
  return `{${fields.join(",")}}`;
}

function valueField(value: unknown): string {
  if (typeof value === "string" || value === null) return `"value":${JSON.stringify(value)}`;
  const bytes = bytesOf(value);
  if (bytes !== null) return `"valueBase64":"${toBase64(bytes)}"`;
  return `"valueJson":${jsonOf(value)}`;
}

function jsonOf(value: unknown): string {
  const lost = value instanceof Map || value instanceof Set;
  const text = lost ? undefined : (JSON.stringify(value) as string | undefined);
  if (text !== undefined) return text;
  const found = lost ? value.constructor.name : typeof value;
  throw new RivuletError(
    `Cannot write the record: its value must be text, bytes, null or JSON, got ${found}`,
    { code: "invalid_record" },
  );
}

function keyField(key: string | Bytes): string {
  const bytes = bytesOf(key);
  if (bytes !== null) return `"keyBase64":"${toBase64(bytes)}"`;
  if (typeof key === "string") return `"key":${JSON.stringify(key)}`;
  throw new RivuletError(
    `Cannot write the record: its key must be text or bytes, got ${typeof key}`,
    { code: "invalid_record" },
  );
}

function headerList(headers: NonNullable<NewRecord["headers"]>): unknown[] {
  const pairs = Array.isArray(headers)
    ? (headers as readonly (readonly [string, HeaderValue])[])
    : Object.entries(headers as Readonly<Record<string, HeaderValue>>);
  return pairs.map(([name, value]) => {
    const bytes = bytesOf(value);
    return [name, bytes === null ? value : { base64: toBase64(bytes) }];
  });
}

/** Borrowed; null when it is none. */
function bytesOf(value: unknown): Uint8Array | null {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (!ArrayBuffer.isView(value)) return null;
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** A key's bytes, which decide its partition; null: no key. */
export function keyBytes({ key }: NewRecord): Uint8Array | null {
  if (key === undefined || key === null) return null;
  return typeof key === "string" ? new TextEncoder().encode(key) : bytesOf(key);
}
