// A line of text made into the JSON of one record to write, and a record that was read made into a line.
//
//   produce --format value    line            {"value": line}, or valueBase64 when the line is no UTF-8
//   with --key-separator      key SEP value   {"key": ..., "value": ...}
//   produce --format json     a JSON object   the same text; offset and timestampType, which consume prints, fall out
//   consume --format value|kv|json            the value; key SEP value; the JSON as it came

import { Failure } from "./failure.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export interface LineFormat {
  readonly as: "value" | "json";
  readonly keySeparator: string | null;
  readonly partition: number | null;
}

/** JSON text of the record that the line stands for; null for a blank line between JSON objects. Throws Failure. */
export function recordOfLine(line: Uint8Array, number: number, format: LineFormat): string | null {
  if (format.as === "json") return recordOfJson(line, number, format.partition);
  const placed = format.partition === null ? {} : { partition: format.partition };
  if (format.keySeparator === null) return JSON.stringify({ ...field("value", line), ...placed });
  const separator = new TextEncoder().encode(format.keySeparator);
  const at = Buffer.from(line.buffer, line.byteOffset, line.length).indexOf(separator);
  if (at < 0)
    throw new Failure(`Line ${number} has no key: it does not hold "${format.keySeparator}"`);
  const key = field("key", line.subarray(0, at));
  return JSON.stringify({
    ...key,
    ...field("value", line.subarray(at + separator.length)),
    ...placed,
  });
}

function recordOfJson(line: Uint8Array, number: number, partition: number | null): string | null {
  const text = textOf(line)?.trim();
  if (text === "") return null;
  const record = text === undefined ? undefined : parseObject(text);
  if (record === undefined) throw new Failure(`Line ${number} is not a JSON object`);
  const { offset, timestampType, ...written } = record;
  const asRead = offset !== undefined || timestampType !== undefined;
  if (partition !== null) return JSON.stringify({ ...written, partition });
  // The text itself, so that a number in valueJson keeps its digits.
  return asRead ? JSON.stringify(written) : (text ?? null);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const object = typeof value === "object" && value !== null && !Array.isArray(value);
    return object ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function field(name: "key" | "value", bytes: Uint8Array): Record<string, string> {
  const text = textOf(bytes);
  return text === null
    ? { [`${name}Base64`]: Buffer.from(bytes).toString("base64") }
    : { [name]: text };
}

function textOf(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** A record as the node shows it. */
export interface ShownRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key?: string | null;
  readonly keyBase64?: string;
  readonly value?: string | null;
  readonly valueBase64?: string;
}

/** The bytes that consume prints for a record, line feed included. `json` is the record's JSON as it came. */
export function lineOfRecord(
  record: ShownRecord,
  json: string,
  format: { readonly as: "value" | "json" | "kv"; readonly keySeparator: string },
): Uint8Array {
  if (format.as === "json") return Buffer.from(`${json}\n`);
  const value = bytesOf(record.value, record.valueBase64);
  const key = bytesOf(record.key, record.keyBase64);
  const before = format.as === "kv" ? [key, Buffer.from(format.keySeparator)] : [];
  return Buffer.concat([...before, value, Buffer.from("\n")]);
}

/** Null prints as null, as Kafka's own consumer does. */
function bytesOf(text: string | null | undefined, base64: string | undefined): Uint8Array {
  return base64 === undefined ? Buffer.from(text ?? "null") : Buffer.from(base64, "base64");
}
