// Parses `{"records": [...]}` into records: one pass over the text, no value built that is not kept.
//
// Promise: valueJson and keyJson are kept as their text, digit for digit; all that is wrong is told by record, at most
// 100 faults; a field twice, unknown, of the wrong type or ill-formed is a fault. The schema of the same shape, for the
// document, is shapes.ts; a test holds the two against each other. Left to others: partitions that are not there.

import { encodeUtf8 } from "../../src/bytes/unicode.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import type { NewRecord, RecordHeader } from "../../src/records/batch-builder.ts";
import { shapes } from "../contract/shapes.ts";
import { JsonFault, JsonReader } from "./json-reader.ts";
import type { InputError } from "./problem.ts";
import { clipped, unknownName } from "./validate.ts";

/** A record as it came in: `timestamp` -1 and `partition` -1 where the body names none. */
export interface RecordInput extends NewRecord {
  partition: number;
  /** It brought its own timestamp. */
  dated: boolean;
  key: Uint8Array | null;
  value: Uint8Array | null;
  headers: readonly RecordHeader[];
  timestamp: number;
}

/** More faults than these are not told: the caller has seen the point. */
export const errorsMax = 100;

export type RecordsInput =
  { readonly ok: true; readonly records: readonly RecordInput[] } | Refusal;

/** The records of a body, or invalid_request with `errors`. */
export function parseRecords(text: string): RecordsInput {
  const parser = new RecordsParser(text);
  try {
    return parser.body();
  } catch (thrown) {
    if (!(thrown instanceof JsonFault)) throw thrown;
    return invalidRecords(`The body is not the JSON that is wanted: ${thrown.message}`, [
      { code: "invalid_request", detail: thrown.message },
    ]);
  }
}

/** One record: the text holds it and nothing else. */
export function parseRecord(
  text: string,
): { readonly ok: true; readonly record: RecordInput } | Refusal {
  const parser = new RecordsParser(text);
  try {
    return parser.line();
  } catch (thrown) {
    if (!(thrown instanceof JsonFault)) throw thrown;
    const detail = `column ${thrown.column}: ${thrown.what}`;
    return invalidRecords(`The line is not one JSON object: ${detail}`, [
      { code: "invalid_request", detail },
    ]);
  }
}

export function invalidRecords(detail: string, errors: readonly InputError[]): Refusal {
  return refuse("invalid_request", detail, { members: { errors } });
}

/** RFC 4648 section 4, padded, no white space, unused bits zero; null when it is not that. */
export function decodeBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0 || /[^A-Za-z0-9+/=]/.test(text)) return null;
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch {
    return null;
  }
}

const noHeaders: readonly RecordHeader[] = [];
const fieldNames = Object.keys(shapes.RecordWritten.properties ?? {});
const bit = (name: string): number => 1 << fieldNames.indexOf(name);
const valueFields = bit("value") | bit("valueJson") | bit("valueBase64");
const keyFields = bit("key") | bit("keyJson") | bit("keyBase64");

class RecordsParser {
  readonly #reader: JsonReader;
  readonly #records: RecordInput[] = [];
  readonly #errors: InputError[] = [];
  #more = false;

  constructor(text: string) {
    this.#reader = new JsonReader(text);
  }

  body(): RecordsInput {
    const reader = this.#reader;
    let seen = false;
    reader.open("object");
    for (let first = true; reader.more("object", first); first = false) {
      const name = reader.name();
      if (name !== "records") {
        this.#error(unknownName("field of the body", name, ["records"]));
        reader.raw();
      } else if (seen) reader.fail('"records" once');
      else {
        seen = true;
        this.#list();
      }
    }
    reader.end();
    return this.#outcome(seen);
  }

  line(): { readonly ok: true; readonly record: RecordInput } | Refusal {
    this.#record();
    this.#reader.end();
    if (this.#errors.length === 0) return { ok: true, record: this.#records[0] };
    const errors = this.#errors.map(({ code, detail }) => ({ code, detail }));
    return invalidRecords(`Cannot write the record: ${errors[0].detail}`, errors);
  }

  #outcome(seen: boolean): RecordsInput {
    if (!seen) this.#error("records is missing: a list of records is wanted");
    else if (this.#records.length === 0 && this.#errors.length === 0)
      this.#error("records is empty: at least one record is wanted");
    if (this.#errors.length === 0) return { ok: true, records: this.#records };
    const count = `${this.#errors.length}${this.#more ? " or more" : ""}`;
    const detail = `Cannot write records: ${count} fault(s), the first: ${this.#errors[0].detail}`;
    return invalidRecords(detail, this.#errors);
  }

  #list(): void {
    const reader = this.#reader;
    if (reader.kind() !== "list") {
      this.#error("records must be a list");
      reader.raw();
      return;
    }
    reader.open("list");
    for (let first = true; reader.more("list", first); first = false) {
      if (this.#records.length >= limits.recordsPerRequestMax) {
        reader.fail(`at most ${limits.recordsPerRequestMax} records`);
      }
      this.#record();
    }
  }

  #record(): void {
    const reader = this.#reader;
    const record: RecordInput = {
      partition: -1,
      dated: false,
      key: null,
      value: null,
      headers: noHeaders,
      timestamp: -1,
    };
    const index = this.#records.push(record) - 1;
    if (reader.kind() !== "object") {
      this.#error("a record must be an object", index);
      reader.raw();
      return;
    }
    let seen = 0;
    reader.open("object");
    for (let first = true; reader.more("object", first); first = false) {
      seen = this.#field(record, index, seen);
    }
    if (count(seen & valueFields) !== 1) this.#error(valueCount(seen), index);
    if (count(seen & keyFields) > 1) this.#error("only one of key, keyJson, keyBase64", index);
  }

  /** Reads one field and returns `seen` with its bit. */
  #field(record: RecordInput, index: number, seen: number): number {
    const reader = this.#reader;
    const name = reader.name();
    const at = fieldNames.indexOf(name);
    if (at < 0) {
      this.#error(unknownName("field", name, fieldNames), index);
      reader.raw();
      return seen;
    }
    if ((seen & (1 << at)) !== 0) this.#error(`${name} comes twice`, index);
    const fault = readers[name](reader, record);
    if (fault !== null) this.#error(`${name} ${fault}`, index);
    return seen | (1 << at);
  }

  #error(detail: string, index?: number): void {
    if (this.#errors.length >= errorsMax) this.#more = true;
    else if (index === undefined) this.#errors.push({ code: "invalid_request", detail });
    else this.#errors.push({ index, code: "invalid_record", detail });
  }
}

function count(bits: number): number {
  let left = bits;
  let ones = 0;
  for (; left !== 0; left &= left - 1) ones++;
  return ones;
}

function valueCount(seen: number): string {
  const found = fieldNames.filter((_, at) => (seen & valueFields & (1 << at)) !== 0);
  const what = found.length === 0 ? "none" : found.join(" and ");
  return `exactly one of value, valueJson, valueBase64 is wanted, got ${what}`;
}

/** Reads a field's value into the record; a sentence's end when it is not what is wanted. */
type FieldReader = (reader: JsonReader, record: RecordInput) => string | null;

const illFormed = "is not well-formed Unicode: it holds a lone surrogate";

/** A text or null into the record, else what is wrong. `json` names the field that would take the value. */
function readText(
  reader: JsonReader,
  json: string,
  keep: (bytes: Uint8Array | null) => void,
): string | null {
  const kind = reader.kind();
  if (kind === "null") {
    reader.literal("null");
    keep(null);
    return null;
  }
  if (kind !== "text") {
    reader.raw();
    return `must be text or null, got ${kind}: put JSON into ${json}`;
  }
  const text = reader.string();
  if (reader.escaped && !text.isWellFormed()) return illFormed;
  keep(encodeUtf8(text));
  return null;
}

function readBase64(reader: JsonReader, keep: (bytes: Uint8Array) => void): string | null {
  if (reader.kind() !== "text") {
    reader.raw();
    return "must be text in base64";
  }
  const bytes = decodeBase64(reader.string());
  if (bytes === null) return "is not base64 (RFC 4648, standard alphabet, padded)";
  keep(bytes);
  return null;
}

const readers: Readonly<Record<string, FieldReader>> = {
  value: (reader, record) => readText(reader, "valueJson", (bytes) => (record.value = bytes)),
  valueJson(reader, record) {
    record.value = encodeUtf8(reader.raw());
    return null;
  },
  valueBase64: (reader, record) => readBase64(reader, (bytes) => (record.value = bytes)),
  key: (reader, record) => readText(reader, "keyJson", (bytes) => (record.key = bytes)),
  keyJson(reader, record) {
    record.key = encodeUtf8(reader.raw());
    return null;
  },
  keyBase64: (reader, record) => readBase64(reader, (bytes) => (record.key = bytes)),
  headers: readHeaders,
  timestamp: (reader, record) =>
    readInteger(reader, "ms since the Unix epoch", (ms) => {
      record.timestamp = ms;
      record.dated = true;
    }),
  partition: (reader, record) =>
    readInteger(reader, "a partition's number", (n) => (record.partition = n)),
};

function readInteger(
  reader: JsonReader,
  what: string,
  keep: (value: number) => void,
): string | null {
  const text = reader.kind() === "number" ? reader.number() : reader.raw();
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || text[0] === '"') {
    return `must be an integer from 0 to 2^53 - 1 (${what}), got ${clipped(text)}`;
  }
  keep(value);
  return null;
}

function readHeaders(reader: JsonReader, record: RecordInput): string | null {
  if (reader.kind() !== "list") {
    reader.raw();
    return wantedHeaders;
  }
  const headers: RecordHeader[] = [];
  let fault: string | null = null;
  reader.open("list");
  for (let first = true; reader.more("list", first); first = false) {
    const header = headerOf(reader.raw());
    if (typeof header === "string") fault ??= header;
    else headers.push(header);
    if (headers.length > limits.headersPerRecordMax) {
      fault ??= `may hold at most ${limits.headersPerRecordMax} headers`;
      headers.length = 0;
    }
  }
  record.headers = headers;
  return fault;
}

const wantedHeaders = 'must be a list of [name, text | null | {"base64": "..."}]';

/** One header out of its JSON text, or what is wrong with it. */
function headerOf(text: string): RecordHeader | string {
  const pair: unknown = JSON.parse(text);
  if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string")
    return wantedHeaders;
  const [name, value] = pair as [string, unknown];
  if (!name.isWellFormed()) return illFormed;
  if (value === null) return [name, null];
  if (typeof value === "string")
    return value.isWellFormed() ? [name, encodeUtf8(value)] : illFormed;
  const base64 = (value as { base64?: unknown }).base64;
  if (typeof value !== "object" || typeof base64 !== "string" || Object.keys(value).length !== 1)
    return wantedHeaders;
  const bytes = decodeBase64(base64);
  return bytes === null ? "hold a value that is not base64 (RFC 4648, padded)" : [name, bytes];
}

/** The headers of a raw record: the same JSON list, from the request's own header. */
export function parseHeaderList(text: string): readonly RecordHeader[] | string {
  const record = { headers: noHeaders } as RecordInput;
  try {
    const reader = new JsonReader(text);
    const fault = readHeaders(reader, record);
    reader.end();
    return fault ?? record.headers;
  } catch (thrown) {
    if (thrown instanceof JsonFault) return `must be JSON: ${thrown.message}`;
    throw thrown;
  }
}
