// What verify and a node say of a harmed folder, and what is wrong with what they say.
//
//   verify named something   it names the file; each record that is not served lies within what it named
//   verify named nothing     every record is served, byte for byte
//   the node did not start   its last words name the file, and verify named it too where it is the journal's
//
// In every case nothing is served but what was written, and what is not served is answered storage_damaged, not as if it
// had never been. The one exception is a cut of the newest log after kill -9, which may end at an earlier commit: that is
// what a crash of the machine leaves. After a clean stop the node knows where its logs ended.

import { spawn } from "node:child_process";
import { basename, join } from "node:path";
import {
  describeSeen,
  readBack,
  sumOf,
  type Harm,
  type Seen,
  type Written,
} from "./flip-folder.ts";
import { startNodeProcess } from "./node-process.ts";

const verifier = join(import.meta.dirname, "verify-folder.ts");

/** How the node whose folder it is had ended. */
export type Ending = "stopped" | "killed";

/** A damage as verify-folder.ts prints it; null where it cannot be told. */
export interface Named {
  readonly file: string;
  /** "controller" for the cluster's own log. */
  readonly topicId: string | null;
  readonly partition: number | null;
  readonly offset: number | null;
  readonly offsetCount: number;
  readonly detail: string;
}

export interface Found {
  readonly named: readonly Named[];
  /** What verify printed, where it neither ended with 0 nor with 1. */
  readonly verifyFailure: string | null;
  readonly verifyChangedFiles: boolean;
  /** null: the node did not start. */
  readonly seen: Seen | null;
  /** Everything that the node printed. */
  readonly output: string;
  /** /readyz is 503, or /metrics counts damage. */
  readonly tells: boolean;
}

export interface ExamineOptions {
  readonly written: readonly Written[];
  /** Command and arguments before `start`. */
  readonly command: readonly string[];
}

/** Verifies the folder, then starts a node on it and reads everything back. */
export async function examine(folder: string, options: ExamineOptions): Promise<Found> {
  // The lock of a killed node leaves a journal of its own beside it, which the next one who locks takes away.
  const journal = join(folder, "journal");
  const before = await sumOf(journal);
  const verified = await verify(folder);
  const verifyChangedFiles = (await sumOf(journal)) !== before;
  return { ...verified, verifyChangedFiles, ...(await serve(folder, options)) };
}

async function serve(
  folder: string,
  { written, command }: ExamineOptions,
): Promise<Pick<Found, "seen" | "output" | "tells">> {
  try {
    await using node = await startNodeProcess({ data: folder, command, until: "/livez" });
    const seen = await readBack(node.url, written);
    const ready = await fetch(`${node.url}/readyz`);
    await ready.arrayBuffer();
    const metrics = await (await fetch(`${node.url}/metrics`)).text();
    const tells = ready.status !== 200 || /^rivulet_\w*damage\w*(?:\{.*\})? [1-9]/m.test(metrics);
    return { seen, output: node.output(), tells };
  } catch (thrown) {
    return { seen: null, output: String(thrown), tells: true };
  }
}

async function verify(folder: string): Promise<Pick<Found, "named" | "verifyFailure">> {
  const child = spawn(process.execPath, [verifier, folder], { stdio: ["ignore", "pipe", "pipe"] });
  const output: string[] = [];
  const errors: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => output.push(text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => errors.push(text));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const lines = output
    .join("")
    .split("\n")
    .filter((line) => line !== "");
  const named = lines.map((line) => JSON.parse(line) as Named);
  const agrees = code === (named.length === 0 ? 0 : 1);
  return { named, verifyFailure: agrees ? null : `exit code ${code}: ${errors.join("")}` };
}

interface Circumstances {
  readonly harm: Harm;
  readonly ending: Ending;
  readonly written: readonly Written[];
}

/** Sentences; none when all is as promised. */
export function complaintsOf(found: Found, circumstances: Circumstances): readonly string[] {
  const { seen, named, verifyFailure, verifyChangedFiles } = found;
  const complaints: string[] = [];
  if (verifyFailure !== null) complaints.push(`verify failed: ${verifyFailure}`);
  if (verifyChangedFiles) complaints.push("verify changed the folder");
  if (
    named !== null &&
    named.length > 0 &&
    !named.some((one) => isAbout(one.file, circumstances.harm))
  )
    complaints.push(`verify named only ${named.map((one) => one.file).join(", ")}`);
  if (seen === null) complaints.push(...unstarted(found, circumstances.harm));
  else complaints.push(...served(found, seen, circumstances));
  return complaints;
}

/** A database, its WAL and its index are one file to a person, with or without the ending. */
const stemOf = (name: string): string => basename(name).replace(/\.(?:db|json)(?:-\w+)?$/, "");

const isAbout = (file: string, harm: Harm): boolean => stemOf(file) === stemOf(harm.file);

function unstarted({ named, output, verifyFailure }: Found, harm: Harm): readonly string[] {
  const stem = stemOf(harm.file);
  const complaints: string[] = [];
  const inJournal = harm.file.startsWith("journal");
  if (inJournal && named.length === 0 && verifyFailure === null)
    complaints.push(`verify named nothing, and the node did not start: ${output}`);
  if (!output.includes(stem))
    complaints.push(`the node did not start and did not name ${stem}: ${output}`);
  return complaints;
}

function served(found: Found, seen: Seen, circumstances: Circumstances): readonly string[] {
  const { named, tells } = found;
  const { harm, ending, written } = circumstances;
  const complaints = seen.wrong.map((words) => `served wrong: ${words}`);
  for (const { record, code } of seen.refused) {
    if (code !== "storage_damaged") complaints.push(`${place(record)} was answered ${code}`);
    if (!named.some((one) => covers(one, record)))
      complaints.push(`${place(record)} is refused, and verify did not name it`);
  }
  if (seen.refused.length > 0 && !tells) complaints.push("neither /readyz nor /metrics tells");
  if (seen.missing.length === 0) return complaints.slice(0, complaintsMax);
  const atEarlierCommit = isNewestLog(harm) && isSuffix(seen.missing, written);
  const recovered = atEarlierCommit && ending === "killed";
  const lost = `${describeSeen(seen)}, first ${place(seen.missing[0])}`;
  if (!recovered) complaints.push(`shortened: ${lost}`);
  return complaints.slice(0, complaintsMax);
}

const complaintsMax = 5;

const place = ({ topic, partition, offset }: Written): string => `${topic}-${partition}/${offset}`;

/** The record lies within the damage; a damage that cannot say which record covers all of its file. */
function covers(named: Named, record: Written): boolean {
  const { topicId, partition, offset, offsetCount } = named;
  if (topicId === null) return true;
  if (topicId !== record.topicId || partition !== record.partition) return false;
  return offset === null || (record.offset >= offset && record.offset < offset + offsetCount);
}

const isNewestLog = (harm: Harm): boolean =>
  harm.kind === "cut" && /journal-\d+\.db-wal$/.test(harm.file);

/** The missing records are those of the last requests, all of them: the log as it was at an earlier commit. */
function isSuffix(missing: readonly Written[], written: readonly Written[]): boolean {
  const first = Math.min(...missing.map((one) => one.request));
  return written.filter((one) => one.request >= first).length === missing.length;
}
