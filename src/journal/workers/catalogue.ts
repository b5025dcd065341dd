// catalogue.db: copies of the heads of all sealed files, so that a start opens one database instead of hundreds.
//
// Promise: never the only copy. A row that is missing, fails its crc or speaks of another size is replaced by what the
// file itself says; a catalogue that cannot be used is deleted and made anew. Left to others: the heads (sealed-head.ts).

import { rmSync } from "node:fs";
import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";
import { crc32c } from "../../bytes/crc32c.ts";
import { Fault } from "../../errors.ts";
import type { SealedHead } from "../disk.ts";
import { bytesOnDisk, cataloguePath, pathOf, sizeOf } from "../file-names.ts";
import { migrate } from "../schema.ts";
import { openSqlite, type Connection, type SqlRow } from "../sqlite.ts";

/** Heads by file name, as far as the catalogue can be believed. */
export function readCatalogue(dir: string): Map<string, SealedHead> {
  if (sizeOf(cataloguePath(dir)) === 0) return new Map();
  const found = withCatalogue(dir, (connection) =>
    connection.prepare("SELECT name, file_bytes, head, crc FROM file").all([]),
  );
  const heads = (found ?? []).map(headOf).filter((head) => head !== null);
  const valid = heads.filter((head) => head.fileBytes === bytesOnDisk(pathOf(dir, head.name)));
  return new Map(valid.map((head) => [head.name, head]));
}

/** Puts and deletes rows. A failure costs the next start some time, nothing else. */
export function updateCatalogue(
  dir: string,
  change: { readonly put: readonly SealedHead[]; readonly remove: readonly string[] },
): void {
  if (change.put.length === 0 && (change.remove.length === 0 || sizeOf(cataloguePath(dir)) === 0))
    return;
  withCatalogue(dir, (connection) => {
    const put = connection.prepare(
      "REPLACE INTO file (name, file_bytes, head, crc) VALUES (?, ?, ?, ?)",
    );
    const remove = connection.prepare("DELETE FROM file WHERE name = ?");
    connection.exec("BEGIN");
    for (const name of change.remove) remove.run([name]);
    for (const head of change.put) {
      const packed = pack(head);
      put.run([head.name, head.fileBytes, packed, crc32c(packed)]);
    }
    connection.exec("COMMIT");
  });
}

/** Runs the work on an open catalogue; null, and no catalogue any more, when it cannot be used. */
function withCatalogue<T>(dir: string, work: (connection: Connection) => T): T | null {
  const path = cataloguePath(dir);
  try {
    const connection = openSqlite(path, "rw");
    try {
      // What a power loss spoils here is read from the files again.
      connection.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
      migrate(connection, "catalogue");
      return work(connection);
    } finally {
      connection.close();
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    rmSync(path, { force: true });
    return null;
  }
}

function headOf(row: SqlRow): SealedHead | null {
  const [name, , packed, crc] = row;
  if (!(packed instanceof Uint8Array) || crc32c(packed) !== crc) return null;
  const head = unpack(packed) as SealedHead;
  return head.name === name ? head : null;
}
