// Who leads which group, as this node knows it, and the sums by which two nodes compare their knowledge.
//
//   leads     groups that this node leads, with their members           --> a sum toward each node that hosts a member
//   believed  groups whose leader is on another node, as replicas here  --> a sum toward that node
//             believe it
//
// If the leader's sum toward a follower's node equals what that node believes, every one of those replicas has its
// leader, and a beat stands for all their heartbeats. If not, the follower asks with its 256 partial sums, and is told
// the groups of those parts that differ (led-pages.ts). A row's hash covers group, both replicas and term, so a replica
// that was removed and added again does not pass for its former self.
//
// Promise: a change costs O(members), a beat O(1), whatever the number of groups; the sums equal those of the sets
// computed anew. Left to others: when to ask (liveness.ts), and stepping what is learned into the cores (host).

import { assert } from "../../assert.ts";
import { crc32c } from "../../bytes/crc32c.ts";
import { murmur2 } from "../../bytes/murmur2.ts";
import type { NodeId } from "../../../raft/types.ts";
import type { LedSum } from "./beat.ts";
import { nodeOf } from "../identity.ts";

/** One leader as one of its members sees it. Raft ids. */
export interface Leadership {
  readonly groupId: string;
  readonly leader: NodeId;
  readonly member: NodeId;
  readonly term: number;
}

/** Parts that a sum is made of; a group's part is the lowest byte of its hash. */
export const ledParts = 256;

/** Sum a and sum b of each part, alternating; 2 * ledParts numbers. */
export type PartSums = Uint32Array;

interface Led {
  readonly leader: NodeId;
  readonly term: number;
  readonly members: readonly NodeId[];
}

interface Believed extends Leadership {
  /** The change that brought it. */
  readonly change: number;
}

const encoder = new TextEncoder();
const nothing: LedSum = { count: 0, a: 0, b: 0 };

export class Leaderships {
  readonly #led = new Map<string, Led>();
  readonly #believed = new Map<string, Believed>();
  /** Per node: what this node leads there; and what is believed to be led by it. */
  readonly #toward = new Map<number, Sums>();
  readonly #from = new Map<number, Sums>();
  #changes = 0;

  /** This node's replica `leader` leads the group at `term`. Members that are its own are passed over. */
  lead(groupId: string, led: Led): void {
    this.cease(groupId);
    this.unfollow(groupId);
    this.#led.set(groupId, led);
    this.#toggleLed(groupId, led, 1);
  }

  /** This node does not lead the group (any more). Idempotent. */
  cease(groupId: string): void {
    const led = this.#led.get(groupId);
    if (led === undefined) return;
    this.#led.delete(groupId);
    this.#toggleLed(groupId, led, -1);
  }

  /** The replica here follows a leader on another node. */
  follow(row: Leadership): void {
    const { groupId, leader, member, term } = row;
    const former = this.#believed.get(groupId);
    if (former?.leader === leader && former.term === term && former.member === member) return;
    this.cease(groupId);
    this.unfollow(groupId);
    this.#changes += 1;
    this.#believed.set(groupId, { groupId, leader, member, term, change: this.#changes });
    const sums = sumsOf(this.#from, nodeOf(leader));
    sums.toggle(row, 1);
    sums.groups.add(groupId);
  }

  /** The replica here knows no leader, or is gone. Idempotent. */
  unfollow(groupId: string): void {
    const believed = this.#believed.get(groupId);
    if (believed === undefined) return;
    this.#believed.delete(groupId);
    const sums = sumsOf(this.#from, nodeOf(believed.leader));
    sums.toggle(believed, -1);
    sums.groups.delete(groupId);
  }

  /** For a beat to the node. */
  ledToward(node: number): LedSum {
    return this.#toward.get(node)?.total ?? nothing;
  }

  /** To be compared with the node's beat. */
  believedOf(node: number): LedSum {
    return this.#from.get(node)?.total ?? nothing;
  }

  /** Groups whose replica here believes in a leader on the node; a copy. */
  followedOf(node: number): string[] {
    return [...(this.#from.get(node)?.groups ?? [])];
  }

  /** What to ask the node. `asOf` comes back to learn(): what changed since then is newer than the answer. */
  question(node: number): { readonly sums: PartSums; readonly asOf: number } {
    const sums = this.#from.get(node)?.parts.slice() ?? new Uint32Array(2 * ledParts);
    return { sums, asOf: this.#changes };
  }

  /** The parts in which the asker's belief differs from what this node leads there, each with all its rows. Cost:
   *  O(groups led here), asked only after a difference lasted. */
  answer(asker: number, asked: PartSums): Map<number, Leadership[]> {
    const differing = new Map<number, Leadership[]>();
    const own = this.#toward.get(asker)?.parts;
    for (let part = 0; part < ledParts; part += 1) {
      const equal = asked[2 * part] === (own?.[2 * part] ?? 0);
      if (equal && asked[2 * part + 1] === (own?.[2 * part + 1] ?? 0)) continue;
      differing.set(part, []);
    }
    if (differing.size === 0) return differing;
    for (const [groupId, { leader, term, members }] of this.#led) {
      const rows = differing.get(partOf(groupId));
      if (rows === undefined) continue;
      for (const member of members) {
        if (nodeOf(member) === asker) rows.push({ groupId, leader, member, term });
      }
    }
    return differing;
  }

  /** What an answer of `node` tells: leaders that the replicas here do not know, and groups of those parts that the
   *  node does not lead, in spite of a belief that is older than the question. */
  learn(
    node: number,
    {
      rows,
      parts,
      asOf,
    }: { rows: readonly Leadership[]; parts: ReadonlySet<number>; asOf: number },
  ): { readonly news: readonly Leadership[]; readonly gone: readonly string[] } {
    const told = new Set<string>();
    const news: Leadership[] = [];
    for (const row of rows) {
      told.add(row.groupId);
      const known = this.#believed.get(row.groupId);
      const same = known?.leader === row.leader && known.term === row.term;
      if (!same || known.member !== row.member) news.push(row);
    }
    const gone: string[] = [];
    for (const groupId of this.#from.get(node)?.groups ?? []) {
      if (told.has(groupId) || !parts.has(partOf(groupId))) continue;
      if (this.#believed.get(groupId)!.change <= asOf) gone.push(groupId);
    }
    return { news, gone };
  }

  #toggleLed(groupId: string, { leader, term, members }: Led, count: 1 | -1): void {
    for (const member of members) {
      const node = nodeOf(member);
      if (node === nodeOf(leader)) continue;
      sumsOf(this.#toward, node).toggle({ groupId, leader, member, term }, count);
    }
  }
}

/** Part of the group's rows. */
export function partOf(groupId: string): number {
  return crc32c(encoder.encode(groupId)) & (ledParts - 1);
}

function sumsOf(table: Map<number, Sums>, node: number): Sums {
  let sums = table.get(node);
  if (sums === undefined) {
    sums = new Sums();
    table.set(node, sums);
  }
  return sums;
}

/** Exclusive-or of hashes: adding a row and taking it away are the same step, in any order. */
class Sums {
  readonly parts: PartSums = new Uint32Array(2 * ledParts);
  /** Kept for believed sums alone. */
  readonly groups = new Set<string>();
  #total: LedSum = nothing;

  get total(): LedSum {
    return this.#total;
  }

  toggle({ groupId, leader, member, term }: Leadership, step: 1 | -1): void {
    const bytes = encoder.encode(groupId);
    const hash = crc32c(bytes);
    const at = 2 * (hash & (ledParts - 1));
    const a = mixed(mixed(mixed(hash, leader), member), term);
    const b = mixed(mixed(mixed(murmur2(bytes), term), leader), member);
    this.parts[at] ^= a;
    this.parts[at + 1] ^= b;
    const { count } = this.#total;
    assert(count + step >= 0, () => `Sum cannot lose ${groupId}: it holds nothing`);
    this.#total = {
      count: count + step,
      a: (this.#total.a ^ a) >>> 0,
      b: (this.#total.b ^ b) >>> 0,
    };
  }
}

/** One number below 2^53 worked into a 32-bit hash (murmur3's finalizer, each half once). */
function mixed(hash: number, value: number): number {
  const high = Math.floor(value / 0x1_0000_0000);
  let mix = Math.imul(hash ^ (value >>> 0), 0x85eb_ca6b);
  mix = Math.imul(mix ^ (mix >>> 13) ^ high, 0xc2b2_ae35);
  return mix ^ (mix >>> 16);
}
