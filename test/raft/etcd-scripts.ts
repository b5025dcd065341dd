// Where etcd/raft's own scripts lie when this checkout has them beside it, as data to be checked against.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../../../shared/reference/raft-testdata");

export interface Script {
  readonly name: string;
  readonly text: string;
}

/** The scripts of one set, by name; null when they are not here. */
export function etcdScripts(set: "quorum" | "confchange" | "interaction"): Script[] | null {
  const folder = join(root, set === "interaction" ? "testdata" : `${set}/testdata`);
  if (!existsSync(folder)) return null;
  return readdirSync(folder)
    .filter((name) => name.endsWith(".txt"))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(folder, name), "utf8") }));
}
