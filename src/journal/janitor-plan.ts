// What the janitor should do next: a pure function of the table of files.
//
//   wholly dead, not active                      -> remove it unread
//   full                                         -> seal it, with the small sealed files before it (tiers: a neighbour
//                                                   is taken along only if it is no larger than what was taken so far,
//                                                   so that a byte is copied a logarithmic number of times)
//   sealed, mostly dead, enough to gain          -> carry the live rows into a new file
//   active, mostly dead, enough to gain          -> roll early, so that it can be sealed
//
// Promise: inputs of one job are neighbours, the output never exceeds a file. Left to others: doing it (janitor.ts).

import type { JournalFile } from "./journal-files.ts";

export type JanitorJob =
  | { readonly kind: "remove"; readonly file: JournalFile }
  | { readonly kind: "seal"; readonly inputs: readonly JournalFile[] }
  | { readonly kind: "roll" };

/** Dead bytes that are worth a job, as a share of the largest file. */
const gainShare = 1 / 8;

/** The next job, or null when nothing is to be gained. Cost: one look at each file. */
export function nextJob(files: readonly JournalFile[], fileBytesMax: number): JanitorJob | null {
  const dead = files.find((file) => file.state !== "active" && file.liveBytes === 0);
  if (dead !== undefined) return { kind: "remove", file: dead };
  const full = files.find((file) => file.state === "full" && !file.damaged);
  if (full !== undefined)
    return { kind: "seal", inputs: withNeighbours(files, full, fileBytesMax) };
  const hollow = files.find((file) => !file.damaged && isHollow(file, fileBytesMax));
  if (hollow === undefined) return null;
  if (hollow.state === "active") return { kind: "roll" };
  return { kind: "seal", inputs: withNeighbours(files, hollow, fileBytesMax) };
}

/** More dead than alive, and worth the work. */
function isHollow(file: JournalFile, fileBytesMax: number): boolean {
  const deadBytes = file.totalBytes - file.liveBytes;
  return deadBytes > file.liveBytes && deadBytes >= fileBytesMax * gainShare;
}

/** The file and the run of sealed files before it that fit into the same output. */
function withNeighbours(
  files: readonly JournalFile[],
  file: JournalFile,
  fileBytesMax: number,
): JournalFile[] {
  const inputs = [file];
  let bytes = file.liveBytes;
  for (let i = files.indexOf(file) - 1; i >= 0; i--) {
    const before = files[i];
    const small = before.liveBytes <= bytes && before.liveBytes + bytes <= fileBytesMax;
    if (before.state !== "sealed" || before.damaged || !small) break;
    inputs.unshift(before);
    bytes += before.liveBytes;
  }
  return inputs;
}
