// The janitor: one Worker that makes the next file ahead, seals, merges and deletes, away from the writer.

import { renameSync, rmSync, truncateSync } from "node:fs";
import { assert } from "../../assert.ts";
import { Fault } from "../../errors.ts";
import {
  damagedSuffix,
  isSealed,
  pathOf,
  shmSuffix,
  sizeOf,
  sparePath,
  syncFolder,
  walSuffix,
} from "../file-names.ts";
import { makeSpare } from "./active-file.ts";
import { updateCatalogue } from "./catalogue.ts";
import { FileReader } from "./file-reader.ts";
import type { JanitorVerbs } from "./protocol.ts";
import { SealJob } from "./seal-job.ts";
import { serveVerbs } from "./worker-port.ts";

let folder = "";
let files = new FileReader("");
let job: SealJob | null = null;

serveVerbs<JanitorVerbs>({
  open({ dir }) {
    folder = dir;
    files = new FileReader(dir);
    return null;
  },
  prepare() {
    if (sizeOf(sparePath(folder)) === 0) makeSpare(folder);
    return null;
  },
  seal(plan) {
    assert(job === null, "Cannot begin a janitor job: another one is under way");
    job = storageFaults(() => new SealJob(folder, plan, files));
    return null;
  },
  step() {
    assert(job !== null, "Cannot go on with a janitor job: none is under way");
    try {
      const head = storageFaults(() => job!.step());
      if (head === null) return null;
      job = null;
      updateCatalogue(folder, { put: [head], remove: [] });
      return head;
    } catch (error) {
      job?.abandon();
      job = null;
      throw error;
    }
  },
  remove(names) {
    files.forget(names);
    for (const name of names) removeFile(name);
    if (names.length > 0) syncFolder(folder);
    updateCatalogue(folder, { put: [], remove: names.filter(isSealed) });
    return null;
  },
});

/** Deletes a file so that its room is free at once, also while a collected-later handle still holds it: renamed, so
 *  that a crash in between leaves a name that is swept; cut to nothing; deleted. */
function removeFile(name: string): void {
  const path = pathOf(folder, name);
  for (const suffix of ["", walSuffix]) {
    if (sizeOf(path + suffix) === 0 && suffix !== "") continue;
    const dead = `${path}.dead${suffix}`;
    try {
      renameSync(path + suffix, dead);
      truncateSync(dead, 0);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    rmSync(dead, { force: true });
  }
  for (const suffix of [walSuffix, shmSuffix, damagedSuffix])
    rmSync(path + suffix, { force: true });
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOENT";

/** Errors of the file system (rename, sync) as Faults. */
function storageFaults<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || error instanceof Fault) throw error;
    const code = error.code === "ENOSPC" ? "storage_full" : "storage_failed";
    throw new Fault(code, `Cannot write a sealed file: ${error.message}`, { cause: error });
  }
}
