// Recovery: from what the disk found to the state of every replica. Reads no entry's data.
//
//   sealed-..  sealed-..  journal-A   journal-B (active)
//   spans      spans      image rows  image rows           one pass in row order:
//      a sealed file's spans and an unsealed file's rows are indexed; of two rows for one index the later file's lives;
//      an image is the truth of its moment: what lies outside [log start, last] or belongs to no replica dies, and
//      what it tells beyond the rows of a damaged file is lost: named, its indexes and offsets never given again
//                                                   (of the active file the index of a clean stop tells the same)
//
// Promise: the state equals what had settled, or Fault storage_damaged says which file stands in the way; what is
// damaged is attached to the replicas that it may touch; a hole that nobody can explain is named as damage, a commit
// beyond the last index without known damage halts. Left to others: the barrier row behind it (open-journal.ts).

import { assert } from "../assert.ts";
import { Fault } from "../errors.ts";
import { logIndex, offset, term } from "../quantities.ts";
import {
  factKinds,
  type DiskInventory,
  type DiskRowHead,
  type SealedHead,
  type UnsealedFile,
} from "./disk.ts";
import { decodeReplicaFact, decodeStateFact, decodeTrimFact } from "./facts.ts";
import { ImageReader, type ReplicaImage, type SnapshotImage } from "./image.ts";
import { entryKinds, type Damage, type EntryKind } from "./journal.ts";
import { JournalFile, parseName, rowOverheadBytes, type JournalFiles } from "./journal-files.ts";
import { fillHole, forgetPassedHoles, keepHole, keepPlaces, logOfRemains } from "./lost-rows.ts";
import { cutSegments, ReplicaLog, startsLater } from "./replica-log.ts";
import { Segment } from "./segment.ts";
import { endImage } from "./stop-index.ts";

export interface Recovered {
  readonly logs: Map<number, ReplicaLog>;
  readonly nextReplica: number;
  readonly nextLsn: number;
  /** Damage that touches no replica's state (an image of which another copy is whole), for health and logs. */
  readonly bystanders: readonly Damage[];
  /** The active file is damaged: nothing more is written to it. */
  readonly rollWanted: boolean;
}

const firstOf = (name: string): number => {
  const parsed = parseName(name);
  if (parsed !== null) return parsed.range.firstLsn;
  throw new Fault("storage_damaged", `Cannot open the journal: unknown file ${name}`, {
    members: { file: name },
  });
};

/** Fills `files` and returns the replicas. Cost: every row head of unsealed files once, every span once. */
export function recover(inventory: DiskInventory, files: JournalFiles): Recovered {
  return new Recovery(inventory, files).run();
}

/** A new replica as its first fact declares it: an empty log. */
export function emptyReplica(replica: number, groupId: string, incarnation: number): ReplicaImage {
  return {
    replica,
    groupId,
    incarnation,
    hardState: {
      term: term(0),
      vote: 0,
      commit: logIndex(0),
    },
    logStart: {
      index: logIndex(1),
      prevTerm: term(0),
      offset: offset(0),
    },
    lastIndex: 0,
    lastTerm: 0,
    nextOffset: 0,
    lastTime: 0,
    configuration: null,
    epochs: [],
    snapshot: null,
    partial: null,
  };
}

/** Taken for the size of a chunk in a sealed file. */
const sealedChunkBytes = 128 * 1024;

class Recovery {
  readonly #inventory: DiskInventory;
  readonly #files: JournalFiles;
  readonly #logs = new Map<number, ReplicaLog>();
  /** Segments of files before the first image, whose replicas are not known yet. */
  readonly #orphans = new Map<number, Segment[]>();
  /** Sizes of chunks in unsealed files, by row. */
  readonly #chunkBytes = new Map<number, number>();
  #nextReplica = 0;
  #nextLsn = 1;
  /** The rows replayed so far reach up to the file that comes next. */
  #whole = false;
  /** Replicas whose snapshot the newest image names, but no file holds: one of its rows. */
  readonly #missingChunks = new Map<ReplicaLog, number>();
  /** Unsealed files whose losses are named one by one, because the state behind them is known. */
  readonly #exact = new Set<string>();
  /** Damaged rows of images that cost nothing. */
  readonly #spared = new Set<Damage>();

  constructor(inventory: DiskInventory, files: JournalFiles) {
    this.#inventory = inventory;
    this.#files = files;
  }

  run(): Recovered {
    const { sealed, unsealed } = this.#inventory;
    const steps = [
      ...sealed.map((head) => ({ name: head.name, run: () => this.#sealed(head) })),
      ...unsealed.map((file, i) => ({
        name: file.name,
        run: () => this.#unsealed(file, i === unsealed.length - 1),
      })),
    ];
    for (const step of steps.sort((a, b) => firstOf(a.name) - firstOf(b.name))) step.run();
    const found = this.#inventory.damage.filter((one) => !this.#spared.has(one));
    const damage = new DamageReport(found, this.#logs, this.#exact);
    damage.attach(this.#files);
    for (const [log, lsn] of this.#missingChunks)
      if (log.snapshot === null && !log.dropped)
        throw missingFile(log, lsn, this.#inventory.damage);
    const active = this.#files.all().at(-1) ?? null;
    for (const log of this.#logs.values()) finish(log, active?.state === "active" ? active : null);
    return {
      logs: this.#logs,
      nextReplica: this.#nextReplica,
      nextLsn: this.#nextLsn,
      bystanders: [...[...this.#spared].map(toldAnew), ...damage.bystanders],
      rollWanted:
        active?.damaged === true || this.#inventory.damage.some((one) => one.file === active?.name),
    };
  }

  #sealed(head: SealedHead): void {
    const { range, generation } = parseName(head.name)!;
    const { name, fileBytes } = head;
    const file = new JournalFile({ name, state: "sealed", range, generation, fileBytes });
    this.#files.add(file);
    this.#whole = false;
    for (const span of head.spans) {
      const older = this.#segmentsOf(span.replica);
      cutSegments(older, span.firstIndex, span.firstOffset);
      const segment = new Segment(file, span, null);
      file.totalBytes += segment.cost;
      older.push(segment);
    }
    // The head tells which chunks moved here, not their sizes: a guess for the janitor's choices.
    file.totalBytes += head.snapshots.length * (sealedChunkBytes + rowOverheadBytes);
  }

  /** Segments of a replica that an image has named, or may name later. */
  #segmentsOf(replica: number): Segment[] {
    const known = this.#logs.get(replica)?.segments ?? this.#orphans.get(replica);
    if (known !== undefined) return known;
    const fresh: Segment[] = [];
    this.#orphans.set(replica, fresh);
    return fresh;
  }

  #unsealed(found: UnsealedFile, active: boolean): void {
    const { range } = parseName(found.name)!;
    const { name, fileBytes } = found;
    const before = this.#files.all().at(-1);
    if (before?.damaged === true) before.lastLsn = Math.max(before.lastLsn, range.firstLsn - 1);
    const state = active ? "active" : "full";
    const file = new JournalFile({ name, state, range, generation: 0, fileBytes });
    this.#files.add(file);
    const image = new ImageReader();
    let inImage = true;
    for (const row of found.rows) {
      file.rows++;
      file.lastLsn = row.lsn;
      this.#nextLsn = Math.max(this.#nextLsn, row.lsn + 1);
      if (row.kind === factKinds.image) image.add(row);
      else {
        if (inImage) this.#endImage(image, file);
        inImage = false;
        this.#row(row, file);
      }
    }
    if (inImage) this.#endImage(image, file);
    this.#passDamagedTail(file);
    if (active) this.#passCleanEnd(file);
    this.#whole = true;
  }

  /** Rows that the last clean stop counted are lost; its index tells where every log ended. */
  #passCleanEnd(file: JournalFile): void {
    const { cleanEnd = null } = this.#inventory;
    if (cleanEnd === null) return;
    const { name } = cleanEnd;
    const lost = this.#inventory.damage.find((one) => one.file === name && one.lsn === null);
    // Also where another file is the lost one: places are kept in this one, which is not sealed then.
    if (name !== file.name) file.damaged = true;
    this.#exact.add(name);
    if (cleanEnd.index === null && lost !== undefined) throw endless(lost);
    file.lastLsn = Math.max(file.lastLsn, cleanEnd.lastLsn);
    this.#nextLsn = file.lastLsn + 1;
    if (cleanEnd.index !== null) this.#takeImage(endImage(cleanEnd.index), file);
  }

  /** Damaged rows at the end have had their numbers: none is given again. A number that does not follow may lie. */
  #passDamagedTail(file: JournalFile): void {
    const lsns = this.#inventory.damage.flatMap((one) =>
      one.file === file.name ? (one.lsn ?? []) : [],
    );
    for (const lsn of lsns.sort((a, b) => a - b)) {
      if (lsn !== this.#nextLsn) continue;
      this.#nextLsn++;
      file.lastLsn = lsn;
    }
  }

  /** The image is read: it is the truth, unless damage broke it and the rows before it tell the same. */
  #endImage(image: ImageReader, file: JournalFile): void {
    const { name } = file;
    if (!image.complete && !this.#whole && !this.#endsKnown(file))
      throw new Fault(
        "storage_damaged",
        `Cannot open the journal: both copies of the image of ${name} are damaged and no file before it tells its state`,
        { members: { file: name } },
      );
    const found = this.#inventory.damage.filter((one) => one.file === name);
    const end = file.firstLsn + image.rowsTotal;
    const before = this.#files.all().at(-2) ?? null;
    const told = image.complete || before?.damaged === false;
    const isImage = ({ lsn }: Damage) => lsn !== null && lsn >= file.firstLsn && lsn < end;
    const spared = told ? found.filter(isImage) : [];
    for (const damage of spared) this.#spared.add(damage);
    file.damaged = spared.length < found.length;
    if (image.complete) this.#takeImage(image, before);
  }

  /** The state at the end of the file is told by a clean stop. */
  #endsKnown(file: JournalFile): boolean {
    const index = this.#inventory.cleanEnd?.index ?? null;
    return file.state === "active" && index !== null;
  }

  /** `before` ends where the image stands: what the image tells and no row of it did, was lost there. */
  #takeImage(image: ImageReader, before: JournalFile | null): void {
    const lossy = before !== null && before.state !== "sealed" && before.damaged;
    if (lossy) this.#exact.add(before.name);
    this.#nextReplica = Math.max(this.#nextReplica, image.nextReplica);
    const named = new Map([...image.replicas()].map((replica) => [replica.replica, replica]));
    for (const log of this.#logs.values()) if (!named.has(log.replica)) this.#drop(log);
    this.#missingChunks.clear();
    for (const replica of named.values()) {
      const log = this.#logs.get(replica.replica) ?? this.#newLog(replica, lossy);
      this.#logs.set(log.replica, log);
      if (lossy) keepPlaces(log, replica, { file: before, known: this.#inventory.damage });
      log.follow(replica);
      this.#takeSnapshots(log, replica);
    }
    for (const segments of this.#orphans.values()) for (const segment of segments) segment.end();
    this.#orphans.clear();
  }

  #newLog(image: ReplicaImage, lossy: boolean): ReplicaLog {
    const segments = this.#orphans.get(image.replica) ?? [];
    this.#orphans.delete(image.replica);
    if (lossy) return logOfRemains(image, segments);
    const log = new ReplicaLog(image, true);
    log.segments.push(...segments);
    return log;
  }

  #takeSnapshots(log: ReplicaLog, image: ReplicaImage): void {
    const { snapshot, partial } = image;
    if (snapshot !== null && this.#lost(snapshot) && spares(log, image)) {
      log.abandonPartial();
      return;
    }
    if (snapshot === null || log.snapshot?.index !== snapshot.index) log.forgetSnapshot();
    if (snapshot !== null && log.snapshot?.chunks[0]?.lsn !== snapshot.lsns[0])
      this.#takeChunks(log, snapshot, snapshot.lsns.length);
    if (partial !== null && log.partial?.chunks[0]?.lsn !== partial.lsns[0])
      this.#takeChunks(log, partial, Infinity);
    if (partial === null) log.abandonPartial();
  }

  /** A row of it ought to be in a file whose rows were read, and is not. */
  #lost({ lsns }: SnapshotImage): boolean {
    return lsns.some((lsn) => {
      const file = this.#files.find(lsn);
      return file !== null && file.state !== "sealed" && !this.#chunkBytes.has(lsn);
    });
  }

  #takeChunks(log: ReplicaLog, { index, lsns }: SnapshotImage, chunks: number): void {
    const places = lsns.map((lsn) => ({ lsn, file: this.#files.find(lsn) }));
    const missing = places.find(({ file }) => file === null);
    // A newer snapshot may stand in the rows that follow; then this one died with its file.
    if (missing !== undefined) {
      if (chunks === lsns.length) this.#missingChunks.set(log, missing.lsn);
      return;
    }
    places.forEach(({ lsn, file }, chunk) => {
      assert(file !== null, "A file that was found is gone");
      const bytes = this.#chunkBytes.get(lsn) ?? sealedChunkBytes;
      log.addChunk({ lsn, file, bytes }, { index, chunk, chunks });
    });
  }

  #drop(log: ReplicaLog): void {
    log.end();
    this.#logs.delete(log.replica);
  }

  #row(row: DiskRowHead, file: JournalFile): void {
    if (row.kind < factKinds.image) return this.#entry(row, file);
    const log = this.#logs.get(row.replica);
    switch (row.kind) {
      case factKinds.replica:
        return this.#declare(row);
      case factKinds.cut:
        return log?.cut(logIndex(row.idx), offset(row.baseOffset));
      case factKinds.reset:
        return log?.reset({
          index: logIndex(row.idx),
          prevTerm: term(row.term),
          offset: offset(row.baseOffset),
        });
      case factKinds.drop:
        return log === undefined ? undefined : this.#drop(log);
      case factKinds.state:
        return this.#state(row);
      case factKinds.trim:
        return this.#trim(row);
      case factKinds.snapshot:
        return log === undefined ? undefined : this.#snapshotRow(row, log, file);
      case factKinds.barrier:
      case factKinds.cleanStop:
        return;
      default:
        throw unknownKind(row, file);
    }
  }

  #entry(row: DiskRowHead, file: JournalFile): void {
    if (row.kind > entryKinds.gap) throw unknownKind(row, file);
    const log = this.#logs.get(row.replica);
    if (log === undefined) return this.#unknownReplica(row, file);
    if (row.idx > log.lastIndex + 1) this.#bridge(row, log, file);
    log.append(
      {
        index: logIndex(row.idx),
        term: term(row.term),
        kind: row.kind as EntryKind,
        baseOffset: offset(row.baseOffset),
        offsetCount: row.offsetCount,
        time: row.time,
        maxTimestamp: row.maxTimestamp,
      },
      { file, lsn: row.lsn, batchBytes: row.batchBytes },
    );
  }

  /** Rows before this one are missing. Damage explains it, or it is a bug. */
  #bridge(row: DiskRowHead, log: ReplicaLog, file: JournalFile): void {
    assert(
      file.damaged,
      () =>
        `Row ${row.lsn} of ${file.name}: index of ${log.groupId} must be ${log.lastIndex + 1}, got ${row.idx}`,
    );
    const end = { endIndex: row.idx, endOffset: row.baseOffset };
    keepHole(log, end, { file, known: this.#inventory.damage });
  }

  #unknownReplica(row: DiskRowHead, file: JournalFile): void {
    assert(
      file.damaged,
      () =>
        `Row ${row.lsn} of ${file.name} belongs to replica ${row.replica}, which no fact declared`,
    );
  }

  #declare(row: DiskRowHead): void {
    const fact = decodeReplicaFact(row);
    this.#nextReplica = Math.max(this.#nextReplica, row.replica + 1);
    const known = this.#logs.get(row.replica);
    if (known !== undefined) {
      known.configuration = fact.configuration;
      return;
    }
    const image = emptyReplica(row.replica, fact.groupId, fact.incarnation);
    const log = new ReplicaLog({ ...image, configuration: fact.configuration }, true);
    this.#logs.set(row.replica, log);
  }

  #state(row: DiskRowHead): void {
    for (const { replica, hardState } of decodeStateFact(row)) {
      const log = this.#logs.get(replica);
      if (log !== undefined) log.hardState = hardState;
    }
  }

  #trim(row: DiskRowHead): void {
    for (const { replica, start } of decodeTrimFact(row)) {
      const log = this.#logs.get(replica);
      if (log === undefined || !startsLater(start, log.logStart)) continue;
      if (start.index <= log.lastIndex + 1) log.trim(start);
      log.durableStart = log.logStart;
    }
  }

  #snapshotRow(row: DiskRowHead, log: ReplicaLog, file: JournalFile): void {
    const bytes = row.batchBytes;
    this.#chunkBytes.set(row.lsn, bytes);
    file.totalBytes += bytes + rowOverheadBytes;
    const place = { index: row.idx, chunk: row.baseOffset, chunks: row.offsetCount };
    // Behind a damaged chunk the rest of that snapshot is of no use; the one before it stays.
    const follows = place.chunk === 0 || log.partial?.chunks.length === place.chunk;
    if (follows) log.addChunk({ lsn: row.lsn, file, bytes }, place);
    else log.abandonPartial();
  }
}

/** A damaged row of an image whose state was told all the same. */
const toldAnew = (damage: Damage): Damage => ({
  ...damage,
  index: null,
  baseOffset: null,
  offsetCount: 0,
  detail: `row ${damage.lsn} of its image is damaged (${damage.detail}); what it says is told elsewhere too`,
});

/** Attaches what the disk found to the replicas that it may touch. */
class DamageReport {
  readonly bystanders: Damage[] = [];
  readonly #found: readonly Damage[];
  readonly #logs: ReadonlyMap<number, ReplicaLog>;
  readonly #exact: ReadonlySet<string>;

  constructor(
    found: readonly Damage[],
    logs: ReadonlyMap<number, ReplicaLog>,
    exact: ReadonlySet<string>,
  ) {
    this.#found = found;
    this.#logs = logs;
    this.#exact = exact;
  }

  attach(files: JournalFiles): void {
    for (const damage of this.#found) {
      const touched = this.#touched(damage, files);
      for (const log of touched) log.damage.push(damage);
      if (touched.length === 0) this.bystanders.push(damage);
    }
  }

  /** A row that is known touches its replica; an unknown row of an unsealed file may have been anyone's vote. */
  #touched(damage: Damage, files: JournalFiles): ReplicaLog[] {
    if (damage.lsn === null && this.#exact.has(damage.file)) return [];
    if (damage.replica !== null && damage.replica >= 0) {
      const log = this.#logs.get(damage.replica);
      return log === undefined ? [] : [log];
    }
    const file = files.all().find((one) => one.name === damage.file);
    const all = [...this.#logs.values()];
    if (file?.state === "active") return all;
    if (file === undefined) return all.filter((log) => isNewest(damage, files) || hasHole(log));
    return all.filter((log) => log.segments.some((segment) => segment.file === file));
  }
}

/** The checks that end a recovery: nothing missing, nothing committed beyond the end. */
function finish(log: ReplicaLog, active: JournalFile | null): void {
  forgetPassedHoles(log);
  const hole = firstHole(log);
  if (hole !== null && log.damage.length === 0) log.damage.push(missing(log, hole));
  if (active !== null) keepDamagedTail(log, active);
  if (log.hardState.commit > log.lastIndex) {
    if (log.damage.length === 0 || active === null) throw commitBeyondEnd(log);
    const endIndex = log.hardState.commit + 1;
    fillHole(log, active, { endIndex, endOffset: log.nextOffset });
  }
  log.queued = log.durableEnd();
}

/** Damaged rows at the end keep their places: what is appended must not take their indexes and offsets. A row whose
 *  columns may lie counts only where it continues the log. */
function keepDamagedTail(log: ReplicaLog, active: JournalFile): void {
  const rows = log.damage.filter((one) => one.file === active.name && one.index !== null);
  for (const { index, baseOffset, offsetCount } of rows.sort((a, b) => a.index! - b.index!)) {
    if (index !== log.lastIndex + 1 || baseOffset !== log.nextOffset) continue;
    fillHole(log, active, { endIndex: index + 1, endOffset: baseOffset + offsetCount });
  }
}

/** A file that could not be read at all and is younger than all that could: anyone's vote may be in it. */
function isNewest(damage: Damage, files: JournalFiles): boolean {
  const lost = parseName(damage.file);
  return lost === null || lost.range.firstLsn > (files.all().at(-1)?.firstLsn ?? 0);
}

const hasHole = (log: ReplicaLog): boolean => firstHole(log) !== null;

/** First index in [log start, last] that no segment holds; null when all are there. */
function firstHole(log: ReplicaLog): number | null {
  let next: number = log.logStart.index;
  for (const segment of log.segments) {
    if (segment.firstIndex !== next) return next;
    next = segment.lastIndex + 1;
  }
  return next === log.lastIndex + 1 ? null : next;
}

/** The fold's state is not lost: an older one stands, or the whole log, and what came since is replayed. */
function spares(log: ReplicaLog, { logStart }: ReplicaImage): boolean {
  return log.snapshot === null ? logStart.index === 1 : log.snapshot.index >= logStart.index - 1;
}

function missing(log: ReplicaLog, index: number): Damage {
  return {
    file: "",
    lsn: null,
    replica: log.replica,
    groupId: log.groupId,
    index: logIndex(index),
    baseOffset: null,
    offsetCount: 0,
    detail: `Entries from ${index} on are in no file of the journal`,
  };
}

function commitBeyondEnd(log: ReplicaLog): Fault {
  const { groupId, lastIndex, hardState } = log;
  const detail = `Cannot open ${groupId}: commit index is ${hardState.commit}, but the log ends at ${lastIndex}`;
  const members = { group: groupId, commit: hardState.commit, lastIndex };
  return new Fault("storage_damaged", detail, { members });
}

/** A log that went on from here would give the offsets of lost records to others: halt, as for a commit beyond the end. */
function endless({ file, detail }: Damage): Fault {
  const words =
    `Cannot open the journal: ${detail} in ${file}, and the index of the clean stop (clean-stop.index) is lost or ` +
    "damaged too, so nobody can tell where the logs ended; restore the folder from a copy";
  return new Fault("storage_damaged", words, { members: { file } });
}

function missingFile(log: ReplicaLog, lsn: number, known: readonly Damage[]): Fault {
  const found = known.map((one) => `; ${one.file}: ${one.detail}`).join("");
  const detail = `Cannot open ${log.groupId}: row ${lsn} of its snapshot is in no readable file of the journal${found}`;
  return new Fault("storage_damaged", detail, { members: { group: log.groupId, row: lsn } });
}

function unknownKind(row: DiskRowHead, file: JournalFile): Fault {
  const detail = `Cannot open the journal: row ${row.lsn} of ${file.name} has the unknown kind ${row.kind}`;
  return new Fault("storage_damaged", detail, { members: { file: file.name, row: row.lsn } });
}
