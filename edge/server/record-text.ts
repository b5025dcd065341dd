// A record as JSON text, straight from the batch that it lies in.
//
// Promise: what was written comes back: text that is valid UTF-8 as text (a byte order mark stays), everything else in
// base64; as=json gives the stored text itself, digit for digit. Cost: about five strings a record.

import { Buffer } from "node:buffer";
import { decodeUtf8 } from "../../src/bytes/unicode.ts";
import type { RecordCursor } from "../../src/records/record-iterator.ts";
import { isJson } from "./json-reader.ts";

export type ShownAs = "auto" | "base64" | "json";

/** The record that the cursor stands on. */
export function recordText(cursor: RecordCursor, partition: number, as: ShownAs): string {
  const type =
    cursor.batch.timestampType === "LogAppendTime" ? ',"timestampType":"LogAppendTime"' : "";
  const place = `{"partition":${partition},"offset":${cursor.offset},"timestamp":${cursor.timestamp}`;
  const key = bytesMember("key", cursor.key, as);
  const value = valueMember(cursor.value, as);
  const headers = cursor.headerCount === 0 ? "[]" : headersText(cursor);
  return `${place}${type},${key},${value},"headers":${headers}}`;
}

function valueMember(bytes: Uint8Array | null, as: ShownAs): string {
  if (as === "json" && bytes !== null) {
    const text = decodeUtf8(bytes);
    if (text !== null && isJson(text)) return `"valueJson":${text}`;
  }
  return bytesMember("value", bytes, as);
}

function bytesMember(name: "key" | "value", bytes: Uint8Array | null, as: ShownAs): string {
  if (as === "base64") return `"${name}Base64":${bytes === null ? "null" : base64Text(bytes)}`;
  if (bytes === null) return `"${name}":null`;
  const text = decodeUtf8(bytes);
  if (text === null) return `"${name}Base64":${base64Text(bytes)}`;
  return `"${name}":${JSON.stringify(text)}`;
}

function base64Text(bytes: Uint8Array): string {
  return `"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64")}"`;
}

function headersText(cursor: RecordCursor): string {
  const texts = cursor.headers().map(([name, value]) => {
    if (value === null) return `[${JSON.stringify(name)},null]`;
    const text = decodeUtf8(value);
    const shown = text === null ? `{"base64":${base64Text(value)}}` : JSON.stringify(text);
    return `[${JSON.stringify(name)},${shown}]`;
  });
  return `[${texts.join(",")}]`;
}
