// One raw record: the body is the value, byte for byte; key, timestamp and headers stand beside it.

import { Buffer } from "node:buffer";
import { decodeUtf8, encodeUtf8 } from "../../src/bytes/unicode.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import type { RecordHeader } from "../../src/records/batch-builder.ts";
import { headerNames, mediaTypes } from "../contract/names.ts";
import type { Call } from "./call.ts";
import { decodeBase64, parseHeaderList, type RecordsInput } from "./record-json.ts";

interface RawCall extends Pick<Call, "mediaType"> {
  readonly query: {
    readonly key: string | undefined;
    readonly keyBase64: string | undefined;
    readonly timestamp: number | undefined;
  };
  readonly header: { readonly [headerNames.recordHeaders]: string | undefined };
}

/** text/plain must be UTF-8; application/octet-stream is anything. An empty body is an empty value, no tombstone. */
export function rawRecord(call: RawCall, value: Uint8Array): RecordsInput {
  if (call.mediaType === mediaTypes.text && decodeUtf8(value) === null) {
    const detail = `The body is not valid UTF-8; send bytes as ${mediaTypes.bytes}`;
    return refuse("invalid_request", detail);
  }
  const key = keyOf(call);
  if (key !== null && "ok" in key) return key;
  const headers = headersOf(call);
  if ("ok" in headers) return headers;
  const timestamp = call.query.timestamp ?? -1;
  return {
    ok: true,
    records: [{ partition: -1, dated: timestamp >= 0, key, value, headers, timestamp }],
  };
}

function keyOf({ query }: RawCall): Uint8Array | Refusal | null {
  if (query.key !== undefined) return encodeUtf8(query.key);
  if (query.keyBase64 === undefined) return null;
  const key = decodeBase64(query.keyBase64);
  return (
    key ??
    refuse("invalid_request", "keyBase64 is not base64 (RFC 4648, standard alphabet, padded)")
  );
}

function headersOf({ header }: RawCall): readonly RecordHeader[] | Refusal {
  const encoded = header[headerNames.recordHeaders];
  if (encoded === undefined) return [];
  const text = decodeUtf8(Buffer.from(encoded, "base64url"));
  const headers = text === null ? "must be base64url of UTF-8" : parseHeaderList(text);
  if (typeof headers !== "string") return headers;
  return refuse("invalid_request", `Rivulet-Headers ${headers}`);
}
