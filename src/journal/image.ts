// The image: the packed state of all live replicas, the first transaction of every journal file.
//
//   row 0   [next replica, replica, replica, ...]    at most chunkReplicasMax a row
//   row 1   [null, replica, ...]                     idx = chunk number, offset_count = chunks
//   row 2   as row 0                                 base_offset = copy number: everything is there twice
//   row 3   as row 1
//
// Promise: the newest image and the rows after it are all that a start needs, and so it must not be lost with one
// damaged row: of two copies of a chunk either will do (about 100 bytes a replica more, once a file). Nothing in an
// image grows with the data, except a snapshot's list of row numbers (one per 256 KiB). Left to others: the rows'
// durability, replay.

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";
import { logIndex, offset, term } from "../quantities.ts";
import type { DiskRow, DiskRowHead } from "./disk.ts";
import { bytesOrNull, factRow, malformed } from "./facts.ts";
import type { EpochStart, HardState, LogStart } from "./journal.ts";

export interface ReplicaImage {
  readonly replica: number;
  readonly groupId: string;
  readonly incarnation: number;
  readonly hardState: HardState;
  readonly logStart: LogStart;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly nextOffset: number;
  readonly lastTime: number;
  readonly configuration: Uint8Array | null;
  readonly epochs: readonly EpochStart[];
  readonly snapshot: SnapshotImage | null;
  /** Chunks of a snapshot whose last one is still to come. */
  readonly partial: SnapshotImage | null;
}

/** Where the newest durable snapshot of a fold lies. */
export interface SnapshotImage {
  readonly index: number;
  /** Row numbers of its chunks, in order. */
  readonly lsns: readonly number[];
}

export interface JournalImage {
  /** The next number that createReplica() gives. */
  readonly nextReplica: number;
  readonly replicas: readonly ReplicaImage[];
}

/** About 100 bytes a replica: rows of some 100 KB. */
const chunkReplicasMax = 1_000;
const copies = 2;

/** Rows of an image, numbered from `lsn` on, every chunk twice. Cost: packs every live replica once. */
export function imageRows(image: JournalImage, lsn: number): DiskRow[] {
  const chunks = Math.max(1, Math.ceil(image.replicas.length / chunkReplicasMax));
  const metas = Array.from({ length: chunks }, (_, chunk) => {
    const part = image.replicas.slice(chunk * chunkReplicasMax, (chunk + 1) * chunkReplicasMax);
    return pack([chunk === 0 ? image.nextReplica : null, ...part.map(packReplica)]);
  });
  return Array.from({ length: chunks * copies }, (_, i) => {
    const place = { idx: i % chunks, offsetCount: chunks, baseOffset: Math.floor(i / chunks) };
    return factRow("image", lsn + i, { ...place, meta: metas[place.idx] });
  });
}

/** One chunk; `nextReplica` is null on all but the first. */
export interface ImageChunk {
  readonly nextReplica: number | null;
  readonly replicas: readonly ReplicaImage[];
}

/** Gathers one file's image from the rows of it that are whole. */
export class ImageReader {
  readonly #chunks = new Map<number, ImageChunk>();
  #chunksTotal = 1;

  /** Takes a row; returns its chunk, or null when the other copy told it already. */
  add(row: DiskRowHead): ImageChunk | null {
    this.#chunksTotal = row.offsetCount;
    if (this.#chunks.has(row.idx)) return null;
    const chunk = decodeImageRow(row);
    this.#chunks.set(row.idx, chunk);
    return chunk;
  }

  get complete(): boolean {
    return this.#chunks.size === this.#chunksTotal;
  }

  /** Rows at the beginning of the file that are surely the image's. */
  get rowsTotal(): number {
    return this.#chunksTotal * copies;
  }

  get nextReplica(): number {
    return this.#chunks.get(0)?.nextReplica ?? 0;
  }

  *replicas(): IterableIterator<ReplicaImage> {
    for (const chunk of this.#chunks.values()) yield* chunk.replicas;
  }
}

function decodeImageRow(row: DiskRowHead): ImageChunk {
  const value: unknown = row.meta === null ? null : unpack(row.meta);
  if (!Array.isArray(value)) throw malformed(row);
  const [nextReplica, ...replicas] = value as [unknown, ...unknown[]];
  return {
    nextReplica: typeof nextReplica === "number" ? nextReplica : null,
    replicas: replicas.map((packed) => unpackReplica(packed, row)),
  };
}

function packReplica(r: ReplicaImage): unknown[] {
  const { hardState: hard, logStart: start } = r;
  return [
    [r.replica, r.groupId, r.incarnation],
    [hard.term, hard.vote, hard.commit],
    [start.index, start.prevTerm, start.offset],
    [r.lastIndex, r.lastTerm, r.nextOffset, r.lastTime],
    r.configuration,
    r.epochs.flatMap((e) => [e.term, e.index, e.offset]),
    packSnapshot(r.snapshot),
    packSnapshot(r.partial),
  ];
}

function unpackReplica(packed: unknown, row: DiskRowHead): ReplicaImage {
  if (!Array.isArray(packed) || packed.length !== 8) throw malformed(row);
  const [identity, hard, start, last, configuration, epochs, snapshot, partial] = packed as [
    [number, string, number],
    [number, number, number],
    [number, number, number],
    [number, number, number, number],
    unknown,
    number[],
    PackedSnapshot,
    PackedSnapshot,
  ];
  return {
    replica: identity[0],
    groupId: identity[1],
    incarnation: identity[2],
    hardState: { term: term(hard[0]), vote: hard[1], commit: logIndex(hard[2]) },
    logStart: { index: logIndex(start[0]), prevTerm: term(start[1]), offset: offset(start[2]) },
    lastIndex: last[0],
    lastTerm: last[1],
    nextOffset: last[2],
    lastTime: last[3],
    configuration: bytesOrNull(configuration),
    epochs: unpackEpochs(epochs),
    snapshot: unpackSnapshot(snapshot),
    partial: unpackSnapshot(partial),
  };
}

type PackedSnapshot = [number, ...number[]] | null;

const packSnapshot = (snapshot: SnapshotImage | null): PackedSnapshot =>
  snapshot === null ? null : [snapshot.index, ...snapshot.lsns];

const unpackSnapshot = (packed: PackedSnapshot): SnapshotImage | null =>
  packed === null ? null : { index: packed[0], lsns: packed.slice(1) };

function unpackEpochs(flat: readonly number[]): EpochStart[] {
  const epochs: EpochStart[] = [];
  for (let i = 0; i < flat.length; i += 3)
    epochs.push({
      term: term(flat[i]),
      index: logIndex(flat[i + 1]),
      offset: offset(flat[i + 2]),
    });
  return epochs;
}
