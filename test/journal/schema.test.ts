// The migrations make what the drizzle schemas say, and a database is brought from its version to the newest.

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getTableConfig, SQLiteTable } from "drizzle-orm/sqlite-core";
import * as catalogue from "../../drizzle/catalogue/schema.ts";
import * as journal from "../../drizzle/journal/schema.ts";
import * as sealed from "../../drizzle/sealed/schema.ts";
import * as state from "../../drizzle/state/schema.ts";
import { checkVersion, migrate, schemaVersion, type SchemaName } from "../../src/journal/schema.ts";
import { openSqlite } from "../../src/journal/sqlite.ts";

const root = mkdtempSync(join(tmpdir(), "rivulet-schema-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const schemas: Record<SchemaName, Record<string, unknown>> = { journal, sealed, catalogue, state };

for (const name of Object.keys(schemas) as SchemaName[]) {
  test(`${name}: the migrated database has the tables, columns and indexes of its schema`, () => {
    const db = openSqlite(join(root, `${name}.db`), "rw");
    expect(checkVersion(db, name)).toBe(0);
    migrate(db, name);
    migrate(db, name);
    expect(checkVersion(db, name)).toBe(schemaVersion(name));
    for (const table of Object.values(schemas[name])) {
      if (!(table instanceof SQLiteTable)) continue;
      const config = getTableConfig(table);
      const columns = db
        .prepare(`SELECT name, type, "notnull" FROM pragma_table_info('${config.name}')`)
        .all([]);
      const wanted = config.columns.map((c) => [
        c.name,
        c.getSQLType().toUpperCase(),
        c.notNull ? 1 : 0,
      ]);
      expect(columns).toEqual(wanted);
      const indexes = db
        .prepare(`SELECT name FROM pragma_index_list('${config.name}') WHERE origin = 'c'`)
        .all([])
        .map(([index]) => String(index));
      const unique = config.columns.flatMap((c) => (c.isUnique ? [String(c.uniqueName)] : []));
      expect(new Set(indexes)).toEqual(
        new Set([...config.indexes.map((index) => index.config.name), ...unique]),
      );
    }
    db.close();
  });

  test(`${name}: every migration that lies in the folder is applied`, () => {
    const folder = join(import.meta.dir, "../../drizzle", name);
    expect(readdirSync(folder).filter((file) => file.endsWith(".sql")).length).toBe(
      schemaVersion(name),
    );
  });
}
