// Names of a stopped node's topics by their ids, from its read model: for messages about damage.
//
// Promise: nothing in the folder is changed (a copy is opened); an unreadable or missing read model gives no names.

import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqlite } from "../journal/sqlite.ts";
import { readModelFile } from "./data-folder.ts";

export function topicNames(dir: string): ReadonlyMap<string, string> {
  const copy = mkdtempSync(join(tmpdir(), "rivulet-names-"));
  try {
    const file = join(copy, "state.db");
    for (const suffix of ["", "-wal"])
      if (existsSync(readModelFile(dir) + suffix))
        copyFileSync(readModelFile(dir) + suffix, file + suffix);
    return existsSync(file) ? read(file) : new Map();
  } catch {
    return new Map();
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function read(file: string): ReadonlyMap<string, string> {
  const connection = openSqlite(file, "rw");
  try {
    const rows = connection.prepare("SELECT topic_id, name FROM topics").all([]);
    return new Map(rows.map(([id, name]) => [String(id), String(name)]));
  } finally {
    connection.close();
  }
}
