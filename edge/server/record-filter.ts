// Filters of reads and tails: which records a caller wants, by key and by header, decided where the records lie.
//
//   key=order-1        the key is this text             keyPrefix=order-    the key begins with it
//   header=type        a header of that name            header=type:paid    a header of that name with that value
//
// Promise: all that are given must hold; a record without a key has no key that is equal to anything; nothing is encoded
// for a record that is not wanted. Left to others: positions, which go on over records that are passed (feed.ts).

import { murmur2 } from "../../src/bytes/murmur2.ts";
import { encodeUtf8 } from "../../src/bytes/unicode.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import type { RecordCursor } from "../../src/records/record-iterator.ts";
import type { Fields, Parsed } from "./route.ts";

export const filterFields = {
  key: { schema: { type: "string", description: "Only records with this key (text)" } },
  keyPrefix: {
    schema: { type: "string", description: "Only records whose key begins with this text" },
  },
  header: {
    schema: {
      type: "string",
      minLength: 1,
      description:
        "Only records with a header of this name, or name:value (text); given again, all must hold",
    },
    repeated: true,
  },
} as const satisfies Fields;

export interface RecordFilter {
  /** What it asks for, the same for the same wishes. */
  readonly text: string;
  /** Told in cursors: positions that were reached over passed records are for this filter alone. */
  readonly sum: number;
  /** Whether the record that the cursor stands on is wanted. */
  matches(cursor: RecordCursor): boolean;
}

/** null: every record is wanted. */
export function filterOf(query: Parsed<typeof filterFields>): RecordFilter | Refusal | null {
  const { key, keyPrefix, header = [] } = query;
  if (key === undefined && keyPrefix === undefined && header.length === 0) return null;
  if (key !== undefined && keyPrefix !== undefined) {
    return refuse("invalid_request", "Only one of key and keyPrefix is wanted");
  }
  const headers = [...new Set(header)].sort();
  const nameless = headers.find((text) => text.startsWith(":"));
  if (nameless !== undefined) {
    return refuse("invalid_request", `header must be name or name:value, got "${nameless}"`);
  }
  const text = JSON.stringify([key ?? null, keyPrefix ?? null, headers]);
  const wantedKey = key ?? keyPrefix;
  const wantedHeaders = headers.map(wantedHeader);
  const keyBytes = wantedKey === undefined ? null : encodeUtf8(wantedKey);
  const exact = key !== undefined;
  return {
    text,
    sum: murmur2(encodeUtf8(text)),
    matches: (cursor) =>
      (keyBytes === null || keyMatches(cursor, keyBytes, exact)) &&
      (wantedHeaders.length === 0 || headersMatch(cursor, wantedHeaders)),
  };
}

interface WantedHeader {
  readonly name: string;
  /** null: any value, no value included. */
  readonly value: Uint8Array | null;
}

function wantedHeader(text: string): WantedHeader {
  const colon = text.indexOf(":");
  if (colon < 0) return { name: text, value: null };
  return { name: text.slice(0, colon), value: encodeUtf8(text.slice(colon + 1)) };
}

/** Lengths are looked at first: most records that are not wanted cost no view. */
function keyMatches(cursor: RecordCursor, wanted: Uint8Array, exact: boolean): boolean {
  const { keyLength } = cursor;
  if (exact ? keyLength !== wanted.length : keyLength < wanted.length) return false;
  return beginsWith(cursor.key!, wanted);
}

function headersMatch(cursor: RecordCursor, wanted: readonly WantedHeader[]): boolean {
  if (cursor.headerCount === 0) return false;
  const headers = cursor.headers();
  return wanted.every(({ name, value }) =>
    headers.some(
      ([foundName, found]) =>
        foundName === name &&
        (value === null ||
          (found !== null && found.length === value.length && beginsWith(found, value))),
    ),
  );
}

function beginsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  for (let i = 0; i < start.length; i++) if (bytes[i] !== start[i]) return false;
  return true;
}
