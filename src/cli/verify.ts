// rivulet verify: every stored byte of a stopped node, checked.
//
// Promise: nothing in the folder is changed; damage is told by file, row, topic, partition and offset, and makes the exit
// code 1. Left to others: the checking (journal/verify.ts).

import { readIdentity } from "../node/data-folder.ts";
import { topicNames } from "../node/topic-names.ts";
import type { Damage } from "../journal/journal.ts";
import { verifyFolder, type VerifyProgress, type VerifyReport } from "../journal/verify.ts";
import type { Call } from "./commands.ts";
import { Failure } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export async function verify({ options, positionals, terminal }: Call): Promise<number> {
  const dir = positionals[0] ?? options.data;
  readIdentity(dir);
  const report = verifyFolder(dir, (progress) => showProgress(terminal, progress));
  terminal.progress("");
  if ("heldBy" in report) throw inUse(dir, report.heldBy?.pid ?? null);
  const names = report.damage.length === 0 ? new Map<string, string>() : topicNames(dir);
  const damage = report.damage.map((one) => placed(one, names));
  if (options.json) await printJson(terminal, report, damage);
  else await printWords(terminal, report, damage);
  return damage.length === 0 ? 0 : 1;
}

function showProgress(terminal: Terminal, { file, bytesDone, bytesTotal }: VerifyProgress): void {
  const percent = bytesTotal === 0 ? 100 : Math.floor((100 * bytesDone) / bytesTotal);
  terminal.progress(`${percent}% of ${megabytes(bytesTotal)}, ${file}`);
}

function inUse(dir: string, pid: number | null): Failure {
  const who = pid === null ? "A node" : `A node (pid ${pid})`;
  const stop = pid === null ? "" : `: kill ${pid}`;
  return new Failure(`${who} uses ${dir}, and only a stopped node can be verified. Stop it${stop}`);
}

/** Damage with the topic and partition that its group id stands for. */
interface PlacedDamage extends Damage {
  /** Name, or the topic's id when the name is not known; null when no topic is concerned. */
  readonly topic: string | null;
  readonly partition: number | null;
}

function placed(damage: Damage, names: ReadonlyMap<string, string>): PlacedDamage {
  const [topicId, partition] = damage.groupId?.split("/") ?? [];
  if (topicId === undefined || partition === undefined)
    return { ...damage, topic: null, partition: null };
  return { ...damage, topic: names.get(topicId) ?? topicId, partition: Number(partition) };
}

async function printJson(
  terminal: Terminal,
  report: VerifyReport,
  damage: readonly PlacedDamage[],
): Promise<void> {
  for (const one of damage) await terminal.out(`${JSON.stringify({ damage: one })}\n`);
  const { dir, rows, bytes, mendable } = report;
  const summary = {
    dir,
    files: report.files.length,
    rows,
    bytes,
    damaged: damage.length,
    mendable,
  };
  await terminal.out(`${JSON.stringify({ summary })}\n`);
}

async function printWords(
  terminal: Terminal,
  report: VerifyReport,
  damage: readonly PlacedDamage[],
): Promise<void> {
  for (const one of damage) await terminal.out(`${sentence(one)}\n`);
  for (const file of report.mendable)
    terminal.say(`Mended in a copy, and by the next start: ${file}`);
  const verdict = damage.length === 0 ? "no damage" : `${damage.length} damaged`;
  const size = `${report.rows} rows, ${megabytes(report.bytes)} in ${report.files.length} ${report.files.length === 1 ? "file" : "files"}`;
  terminal.say(`Verified ${report.dir}: ${size}, ${verdict}`);
}

function sentence(damage: PlacedDamage): string {
  const row = damage.lsn === null ? "" : `, row ${damage.lsn}`;
  const { topic, partition, baseOffset, offsetCount } = damage;
  const where = topic === null ? (damage.groupId ?? "") : `topic ${topic}, partition ${partition}`;
  const last = baseOffset === null ? 0 : baseOffset + Math.max(offsetCount, 1) - 1;
  const offsets =
    baseOffset === null ? "" : `, offset ${baseOffset}${last > baseOffset ? `-${last}` : ""}`;
  return `Damaged: ${damage.file}${row}${where === "" ? "" : `: ${where}`}${offsets}: ${damage.detail}`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
