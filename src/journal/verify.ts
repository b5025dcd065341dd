// `rivulet verify DIR`: every byte of a stopped node's journal, compared with its sums.
//
// Promise: nothing in the folder is changed; damage is named by file, row, group, index and offset where a row can be
// named, else by file and the replicas that it may touch. Runs in its own process: it opens files by other means than
// SQLite, which would drop the locks of a node in the same process. Left to others: naming topics (group ids hold the
// topic's id), what to do about damage.
//
//   sealed       opened immutable where they lie
//   unsealed     database and WAL copied to a temporary folder; the copy's WAL is walked, mended, read to the end

import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../errors.ts";
import { bytesOnDisk, listFiles, pathOf } from "./file-names.ts";
import { lockFolder, type LockOwner } from "./folder-lock.ts";
import type { Damage } from "./journal.ts";
import { verifySealed } from "./verify-sealed.ts";
import { detailOf, fileDamage } from "./workers/damage.ts";
import { takeInventory } from "./workers/inventory.ts";
import { readSealedHead } from "./workers/sealed-head.ts";

export interface VerifyReport {
  readonly dir: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  readonly rows: number;
  readonly bytes: number;
  readonly damage: readonly Damage[];
  /** Flipped bits in a WAL that the next start will set right: nothing is lost. */
  readonly mendable: readonly string[];
}

export interface VerifyProgress {
  readonly file: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/** Verifies the journal in the data folder `dir`. Answers who holds the folder when a node runs on it. Throws Fault
 *  storage_failed when there is no such folder or it cannot be read. Cost: reads everything once; room for a copy of
 *  the unsealed files (at most three) in the temporary folder. */
export function verifyFolder(
  dir: string,
  onProgress: (progress: VerifyProgress) => void = () => undefined,
): VerifyReport | { readonly heldBy: LockOwner | null } {
  const journal = join(dir, "journal");
  if (!existsSync(journal))
    throw new Fault("storage_failed", `Cannot verify ${dir}: there is no journal in it`);
  // A folder that no node ever locked (a copy) is not given a lock file.
  const locked = existsSync(join(dir, "lock.db")) ? lockFolder(dir) : null;
  if (locked !== null && "heldBy" in locked) return locked;
  try {
    return verifyJournal(journal, dir, onProgress);
  } finally {
    locked?.lock.release();
  }
}

function verifyJournal(
  journal: string,
  dir: string,
  onProgress: (progress: VerifyProgress) => void,
): VerifyReport {
  const { sealed, unsealed } = listFiles(journal);
  const replaced = new Set(sealed.flatMap((name) => replacedBy(journal, name)));
  const files = [...sealed, ...unsealed]
    .filter((name) => !replaced.has(name))
    .map((name) => ({ name, bytes: bytesOnDisk(pathOf(journal, name)) }));
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const steps = new Steps(files, bytes, onProgress);
  const open = verifyUnsealed(
    journal,
    unsealed.filter((name) => !replaced.has(name)),
  );
  for (const name of unsealed) steps.done(name);
  const damage = [...open.damage];
  if (sealed.length > 0 && open.rows === 0)
    damage.push(fileDamage(unsealed.at(-1) ?? "journal", "there is no row of an unsealed file"));
  let { rows } = open;
  for (const name of sealed.filter((one) => !replaced.has(one))) {
    const verdict = verifySealed(journal, name, open.groups);
    damage.push(...verdict.damage);
    rows += verdict.rows;
    steps.done(name);
  }
  return { dir, files, rows, bytes, damage, mendable: open.mendable };
}

class Steps {
  #bytesDone = 0;
  readonly #files: ReadonlyMap<string, number>;
  readonly #bytesTotal: number;
  readonly #onProgress: (progress: VerifyProgress) => void;

  constructor(
    files: readonly { readonly name: string; readonly bytes: number }[],
    bytesTotal: number,
    onProgress: (progress: VerifyProgress) => void,
  ) {
    this.#files = new Map(files.map((file) => [file.name, file.bytes]));
    this.#bytesTotal = bytesTotal;
    this.#onProgress = onProgress;
  }

  done(file: string): void {
    this.#bytesDone += this.#files.get(file) ?? 0;
    this.#onProgress({ file, bytesDone: this.#bytesDone, bytesTotal: this.#bytesTotal });
  }
}

/** A head that cannot be read replaces nothing; verifySealed names its damage. */
function replacedBy(journal: string, name: string): readonly string[] {
  try {
    return readSealedHead(journal, name).replaces;
  } catch (error) {
    if (error instanceof Fault) return [];
    throw new Fault("storage_failed", `Cannot read ${name}: ${detailOf(error)}`, { cause: error });
  }
}

/** The unsealed files as the next start would find them, in a copy. */
function verifyUnsealed(
  journal: string,
  names: readonly string[],
): {
  readonly rows: number;
  readonly damage: readonly Damage[];
  readonly mendable: readonly string[];
  readonly groups: ReadonlyMap<number, string>;
} {
  const copy = mkdtempSync(join(tmpdir(), "rivulet-verify-"));
  try {
    const wanted = new Set(names.flatMap((name) => [`${name}.db`, `${name}.db-wal`]));
    for (const file of readdirSync(journal))
      if (wanted.has(file) || file === "clean-stop.json")
        copyFileSync(join(journal, file), join(copy, file));
    const found = takeInventory(copy, { batches: "verify" });
    const rows = found.unsealed.reduce((sum, file) => sum + file.rows.count, 0);
    const { damage, mended: mendable } = found;
    return { rows, damage, mendable, groups: new Map(found.groups) };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
