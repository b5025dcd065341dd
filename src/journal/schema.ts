// Schema of the database files: the migrations under drizzle/, applied in order, counted in user_version.
//
// Promise: a file is either at the version that this program writes, or older and brought there (databases that are
// migrated), or refused with its version named. Journal files are made whole at birth and never migrated; readers
// know every version. Generate a migration after a change of a schema:
//
//   drizzle-kit generate --dialect sqlite --schema drizzle/NAME/schema.ts --out drizzle/NAME --name WHAT

import { readFileSync } from "node:fs";
import { Fault } from "../errors.ts";
import type { Connection } from "./sqlite.ts";

/** Migrations of each kind of file, oldest first; the version is their number. */
const migrations = {
  journal: ["0000_init"],
  sealed: ["0000_init"],
  catalogue: ["0000_init"],
  state: ["0000_init", "0001_nodes"],
} as const;

export type SchemaName = keyof typeof migrations;

/** The version that this program writes. */
export const schemaVersion = (name: SchemaName): number => migrations[name].length;

/** Brings a database from its user_version to the newest, one transaction a step. Throws Fault storage_failed for a
 *  version that only a newer program knows. */
export function migrate(connection: Connection, name: SchemaName): void {
  applyFrom(connection, name, checkVersion(connection, name));
}

/** Makes the schema in an empty file. Prepares no statement, so that close() takes effect at once. */
export function createSchema(connection: Connection, name: SchemaName): void {
  applyFrom(connection, name, 0);
}

function applyFrom(connection: Connection, name: SchemaName, found: number): void {
  migrations[name].slice(found).forEach((file, i) => {
    const url = new URL(`../../drizzle/${name}/${file}.sql`, import.meta.url);
    const sql = readFileSync(url, "utf8");
    connection.exec(`BEGIN;\n${sql};\nPRAGMA user_version = ${found + i + 1};\nCOMMIT`);
  });
}

/** No program will ever count so many migrations: such a version is a flipped bit. */
const versionMax = 1_000;

/** The file's version, 0 for an empty one. Throws Fault storage_failed when it is newer than this program,
 *  storage_damaged when no program wrote it. */
export function checkVersion(connection: Connection, name: SchemaName): number {
  const found = Number(connection.scalar("PRAGMA user_version"));
  const known = schemaVersion(name);
  if (found >= 0 && found <= known) return found;
  const newer = found > known && found <= versionMax;
  const detail =
    `Cannot open ${connection.path}: its format is version ${found}, this program knows up to ${known}` +
    (newer ? ". A newer Rivulet wrote it; start that one" : "");
  const members = { found, known };
  throw new Fault(newer ? "storage_failed" : "storage_damaged", detail, { members });
}
