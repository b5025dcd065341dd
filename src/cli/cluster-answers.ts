// What the door tells of a cluster, as far as the commands use it; read with the patience of a person who watches.

import type { World } from "../world.ts";
import { Client, isObject } from "./client.ts";
import { Failure } from "./failure.ts";

export interface NodeRow {
  readonly nodeId: number;
  readonly version: string;
  readonly state: "up" | "down";
  readonly http: string | null;
  readonly peer: string | null;
  readonly region: string | null;
  readonly replicas: number;
  readonly leads: number;
}

export interface MemberRow {
  readonly nodeId: number;
  readonly voter: boolean;
  readonly inSync: boolean;
  readonly lagEntries: number;
  readonly lagMs: number;
}

export interface GroupRow {
  readonly leader: number | null;
  readonly term: number;
  /** Empty when the leader did not tell. */
  readonly members: readonly MemberRow[];
}

export interface PartitionRow extends GroupRow {
  readonly topic: string;
  readonly partition: number;
  readonly assigned: readonly number[];
}

export interface ClusterAnswer {
  readonly clusterId: string;
  /** The node that answered. */
  readonly nodeId: number;
  readonly nodes: readonly NodeRow[];
  readonly controller: GroupRow;
  readonly partitions: number;
}

export interface PartitionsAnswer {
  /** The first page. */
  readonly items: readonly PartitionRow[];
  readonly total: number;
}

/** Partitions that are looked at: as many as one answer holds. */
const pageSize = 1_000;

/** Asks one node, each time within `patienceMs`. Rejects with Failure: no answer, or none of a Rivulet node. */
export class ClusterClient {
  readonly #client: Client;
  readonly #world: World;
  readonly #patienceMs: number;
  readonly url: string;

  constructor(url: string, { world, patienceMs }: { world: World; patienceMs: number }) {
    this.url = url;
    this.#client = new Client(url);
    this.#world = world;
    this.#patienceMs = patienceMs;
  }

  /** `local`: as the node knows it by itself, at once. */
  async cluster(local: "local" | "leaders"): Promise<ClusterAnswer> {
    const json = await this.#ask("/v1/cluster", local);
    if (isObject(json) && Array.isArray(json.nodes)) return json as unknown as ClusterAnswer;
    throw new Failure(`${this.url} did not tell of a cluster; is a Rivulet node there?`);
  }

  async partitions(local: "local" | "leaders"): Promise<PartitionsAnswer> {
    const json = await this.#ask(`/v1/cluster/partitions?limit=${pageSize}`, local);
    if (isObject(json) && Array.isArray(json.items)) return json as unknown as PartitionsAnswer;
    throw new Failure(`${this.url} did not tell of its partitions; is a Rivulet node there?`);
  }

  async #ask(path: string, of: "local" | "leaders"): Promise<unknown> {
    const controller = new AbortController();
    const timer = this.#world.setTimer(this.#patienceMs, () => controller.abort());
    const headers: Record<string, string> =
      of === "local" ? { "rivulet-consistency": "local" } : {};
    try {
      return (await this.#client.ask(path, { headers, signal: controller.signal })).json;
    } finally {
      timer.cancel();
    }
  }
}

/** "orders-0" */
export function partitionName({ topic, partition }: PartitionRow): string {
  return `${topic}-${partition}`;
}
