// What open() finds in the folder: sealed heads, heads of unsealed rows, and all damage by name.
//
// Promise: a row that is not whole is named and left out; a row that ought to be there (lsns are dense) and is not is
// named too, so that nothing is shortened in silence. Left to others: WAL frames (wal-mend.ts), what rows mean.
//
//   1  sweep half-done files          3  read sealed heads; delete the files that they replace
//   2  list                           4  mend and scan each unsealed file, oldest first

import { mkdirSync, rmSync } from "node:fs";
import { Fault } from "../../errors.ts";
import { factKinds, type DiskRowHead, type SealedHead } from "../disk.ts";
import { decodeReplicaFact } from "../facts.ts";
import {
  listFiles,
  pathOf,
  bytesOnDisk,
  shmSuffix,
  sweepFolder,
  syncFolder,
  walSuffix,
} from "../file-names.ts";
import { decodeImageRow } from "../image.ts";
import { parseName } from "../journal-files.ts";
import type { Damage } from "../journal.ts";
import { groupSeed } from "../row-codec.ts";
import { checkVersion } from "../schema.ts";
import { openSqlite, type Connection } from "../sqlite.ts";
import { RowPacker } from "./packed-rows.ts";
import { detailOf, fileDamage, rowDamage } from "./damage.ts";
import type { FoundFile, Inventory } from "./protocol.ts";
import { headColumns, storedDamage, storedRow, type StoredRow } from "./row-sql.ts";
import { readSealedHead } from "./sealed-head.ts";

/** Takes inventory. Throws Fault storage_failed for a folder of a newer format, or one that cannot be read. */
export function takeInventory(dir: string): Inventory & { readonly lastLsn: number | null } {
  mkdirSync(dir, { recursive: true });
  sweepFolder(dir);
  const scan = new Scan(dir);
  const sealed = scan.sealedHeads();
  dropReplaced(dir, sealed);
  const left = listFiles(dir).unsealed;
  const unsealed = left.flatMap((name, i) => scan.unsealedFile(name, left[i + 1] ?? null));
  return {
    sealed: sealed.filter((head) => !sealed.some((other) => other.replaces.includes(head.name))),
    unsealed,
    groups: [...scan.groups],
    damage: scan.damage,
    cleanStop: scan.lastKind === factKinds.cleanStop,
    lastLsn: scan.lastLsn,
  };
}

/** A complete sealed file wins over its inputs: the crash came between its rename and their deletion. */
function dropReplaced(dir: string, sealed: readonly SealedHead[]): void {
  const replaced = sealed.flatMap((head) => head.replaces);
  for (const name of replaced)
    for (const suffix of ["", walSuffix, shmSuffix])
      rmSync(pathOf(dir, name) + suffix, { force: true });
  if (replaced.length > 0) syncFolder(dir);
}

class Scan {
  readonly groups = new Map<number, string>();
  readonly damage: Damage[] = [];
  lastKind: number | null = null;
  lastLsn: number | null = null;
  readonly #dir: string;
  readonly #seeds = new Map<number, number>([[-1, groupSeed("")]]);

  constructor(dir: string) {
    this.#dir = dir;
  }

  sealedHeads(): SealedHead[] {
    return listFiles(this.#dir).sealed.flatMap((name) => {
      try {
        return [readSealedHead(this.#dir, name)];
      } catch (error) {
        this.damage.push(fileDamage(name, detailOf(error)));
        return [];
      }
    });
  }

  /** The file's rows; nothing for the newest file when a crash came before its first transaction. */
  unsealedFile(name: string, next: string | null): FoundFile[] {
    const connection = openSqlite(pathOf(this.#dir, name), "ro");
    try {
      checkVersion(connection, "journal");
      const file = new FileScan(this, connection, name);
      const rows = file.run(lsnRange(name, next));
      if (rows.count === 0 && next === null && !file.damaged) {
        this.#removeEmpty(name);
        return [];
      }
      return [{ name, fileBytes: bytesOnDisk(pathOf(this.#dir, name)), rows }];
    } finally {
      connection.close();
    }
  }

  seedOf(replica: number): number | null {
    return this.#seeds.get(replica) ?? null;
  }

  learn(replica: number, groupId: string): void {
    this.groups.set(replica, groupId);
    this.#seeds.set(replica, groupSeed(groupId));
  }

  #removeEmpty(name: string): void {
    for (const suffix of ["", walSuffix, shmSuffix])
      rmSync(pathOf(this.#dir, name) + suffix, { force: true });
  }
}

/** First row that must be there, and the last one if the next file's name tells it. */
function lsnRange(name: string, next: string | null): { first: number; last: number | null } {
  const first = parseName(name)!.range.firstLsn;
  return { first, last: next === null ? null : parseName(next)!.range.firstLsn - 1 };
}

/** One unsealed file, its rows in lsn order. */
class FileScan {
  damaged = false;
  readonly #scan: Scan;
  readonly #connection: Connection;
  readonly #name: string;
  readonly #packer = new RowPacker(1024, 64 * 1024);
  readonly #replicas = new Set<number>();
  readonly #missing: (readonly [first: number, last: number])[] = [];

  constructor(scan: Scan, connection: Connection, name: string) {
    this.#scan = scan;
    this.#connection = connection;
    this.#name = name;
  }

  run(range: {
    readonly first: number;
    readonly last: number | null;
  }): ReturnType<RowPacker["finish"]> {
    let wanted = range.first;
    try {
      const statement = this.#connection.prepare(`SELECT ${headColumns} FROM entry ORDER BY lsn`);
      statement.forEach([], (row) => {
        const stored = storedRow(row);
        this.#expect(wanted, stored.numbers.lsn - 1);
        wanted = stored.numbers.lsn + 1;
        this.#take(stored);
      });
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "storage_damaged") throw error;
      this.#nameWholeFile(error.message);
    }
    if (range.last !== null) this.#expect(wanted, range.last);
    this.#nameMissing();
    return this.#packer.finish();
  }

  #expect(first: number, last: number): void {
    if (first <= last) this.#missing.push([first, last]);
  }

  #take(stored: StoredRow): void {
    const { numbers } = stored;
    const problem = this.#problemOf(stored);
    this.#scan.lastKind = numbers.kind;
    this.#scan.lastLsn = numbers.lsn;
    if (problem !== null) {
      this.damaged = true;
      this.#scan.damage.push(
        rowDamage(this.#name, stored, {
          groupId: this.#scan.groups.get(numbers.replica) ?? null,
          detail: problem,
        }),
      );
      return;
    }
    if (numbers.replica >= 0) this.#replicas.add(numbers.replica);
    this.#packer.addHead(numbers, stored.meta);
  }

  /** Verifies the row's crc; learns group ids from the rows that tell them. */
  #problemOf(stored: StoredRow): string | null {
    const { numbers } = stored;
    const head = this.#headOf(stored);
    if (numbers.kind === factKinds.replica) return this.#learnReplica(stored, head);
    const seed = this.#scan.seedOf(numbers.replica);
    if (seed === null)
      return `no image or replica row tells the group of replica ${numbers.replica}`;
    const problem = storedDamage(seed, stored);
    if (problem === null && numbers.kind === factKinds.image)
      for (const { replica, groupId } of decodeImageRow(head).replicas)
        this.#scan.learn(replica, groupId);
    return problem;
  }

  #learnReplica(stored: StoredRow, head: DiskRowHead): string | null {
    let groupId: string;
    try {
      ({ groupId } = decodeReplicaFact(head));
    } catch (error) {
      return detailOf(error);
    }
    const problem = storedDamage(groupSeed(groupId), stored);
    if (problem === null) this.#scan.learn(stored.numbers.replica, groupId);
    return problem;
  }

  #headOf(stored: StoredRow): DiskRowHead {
    return { ...stored.numbers, groupId: "", meta: stored.meta };
  }

  #nameWholeFile(detail: string): void {
    this.damaged = true;
    const touched = [...this.#replicas].map((replica) => ({
      replica,
      groupId: this.#scan.groups.get(replica) ?? null,
    }));
    for (const one of touched.length === 0 ? [null] : touched)
      this.#scan.damage.push(fileDamage(this.#name, detail, one));
  }

  /** Whose the missing rows were is not known: every replica with rows in this file may be touched. */
  #nameMissing(): void {
    for (const [first, last] of this.#missing)
      this.#nameWholeFile(`rows ${first} to ${last} are missing`);
  }
}
