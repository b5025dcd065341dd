// rivulet status --watch: asks every node of the cluster again and again, and shows what became of it.
//
//   each node:   /v1/cluster and its partitions, as that node knows them     every 100 ms, 1 s of patience
//   one of them: the same as the leaders know it (members, lags)             every second
//   a terminal:  the table, redrawn in place                                 every 200 ms
//   elsewhere:   a line an event
//
// Promise: the death of the node that was named ends nothing once another one is known; what stands still is said to
// stand still. Ends by Ctrl-C or when nobody reads it. Left to others: what it means (watch-model.ts), its looks
// (watch-view.ts).

import { systemWorld, type World } from "../world.ts";
import { ClusterClient } from "./cluster-answers.ts";
import type { Call } from "./commands.ts";
import type { Terminal } from "./terminal.ts";
import { lookMs, WatchModel, type WatchEvent } from "./watch-model.ts";
import { eventLine, tableOf, type Clocks } from "./watch-view.ts";

/** How long one node may take to answer for itself, and what the leaders know. */
const patience = { own: 1_000, leaders: 3_000 } as const;
const lagsMs = 1_000;
const drawMs = 200;

export async function watch({ options, terminal }: Call): Promise<number> {
  const watcher = new Watcher(options.url, terminal, systemWorld);
  // The first answer must come: a wrong address is a failure, as for every command.
  await watcher.begin();
  const show = terminal.screen() === null ? new Lines(terminal, options.json) : new Table(terminal);
  try {
    for (;;) {
      watcher.look();
      await show.show(watcher.model, watcher.clocks());
      await terminal.pause(lookMs);
    }
  } finally {
    watcher.stop();
  }
}

class Watcher {
  readonly model = new WatchModel();
  readonly #terminal: Terminal;
  readonly #world: World;
  readonly #first: string;
  /** Who is asked, by URL; and which node answered there last. */
  readonly #asked = new Map<string, number | null>();
  #over = false;

  constructor(url: string, terminal: Terminal, world: World) {
    this.#first = url;
    this.#terminal = terminal;
    this.#world = world;
  }

  async begin(): Promise<void> {
    await this.#askOne(this.#client(this.#first, patience.leaders));
    this.#ask(this.#first);
    void this.#askLags();
  }

  stop(): void {
    this.#over = true;
  }

  look(): void {
    this.model.look(this.#world.monotonic());
    for (const { row } of this.model.nodes.values()) {
      const known = [...this.#asked.values()].includes(row.nodeId);
      if (row.http !== null && !known && !this.#asked.has(row.http)) this.#ask(row.http);
    }
  }

  clocks(): Clocks {
    return { at: this.#world.monotonic(), wallMs: this.#world.now() };
  }

  #client(url: string, patienceMs: number): ClusterClient {
    return new ClusterClient(url, { world: this.#world, patienceMs });
  }

  /** Asks a node again and again. */
  #ask(url: string): void {
    if (!this.#asked.has(url)) this.#asked.set(url, null);
    void this.#askOn(this.#client(url, patience.own));
  }

  async #askOn(client: ClusterClient): Promise<void> {
    while (!this.#over) {
      // A node that does not answer is silent: the model sees that by itself.
      await this.#askOne(client).catch(() => undefined);
      await this.#terminal.pause(lookMs);
    }
  }

  async #askOne(client: ClusterClient): Promise<void> {
    const [cluster, partitions] = await Promise.all([
      client.cluster("local"),
      client.partitions("local"),
    ]);
    this.#asked.set(client.url, cluster.nodeId);
    this.model.saw({ cluster, partitions, at: this.#world.monotonic() });
  }

  /** Members and lags, from whoever answers. */
  async #askLags(): Promise<void> {
    while (!this.#over) {
      for (const url of this.#asked.keys()) {
        const client = this.#client(url, patience.leaders);
        const told = await Promise.all([
          client.partitions("leaders"),
          client.cluster("leaders"),
        ]).catch(() => null);
        if (told === null) continue;
        this.model.sawLags(...told);
        break;
      }
      await this.#terminal.pause(lagsMs);
    }
  }
}

/** The table, drawn over the one before. */
class Table {
  readonly #terminal: Terminal;
  #drawn = 0;
  #drawnAt = -Infinity;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  async show(model: WatchModel, clocks: Clocks): Promise<void> {
    if (clocks.at - this.#drawnAt < drawMs) return;
    this.#drawnAt = clocks.at;
    model.takeEvents();
    const { columns, rows } = this.#terminal.screen() ?? { columns: 80, rows: 24 };
    const lines = tableOf(model, clocks, { columns: columns - 1, rows: rows - 1 });
    // Up to the first line of what stands there, then each line over the old one, then nothing below.
    const up = this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A`;
    this.#drawn = lines.length;
    await this.#terminal.out(`\r${up}${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
  }
}

/** A line an event, after a first line for each node. */
class Lines {
  readonly #terminal: Terminal;
  readonly #json: boolean;
  #began = false;

  constructor(terminal: Terminal, json: boolean) {
    this.#terminal = terminal;
    this.#json = json;
  }

  async show(model: WatchModel, clocks: Clocks): Promise<void> {
    if (!this.#began) {
      this.#began = true;
      if (!this.#json)
        await this.#terminal.out(
          `${tableOf(model, clocks, { columns: 1_000, rows: 100 }).join("\n")}\n`,
        );
    }
    for (const event of model.takeEvents())
      await this.#terminal.out(`${this.#text(event, clocks)}\n`);
  }

  #text(event: WatchEvent, clocks: Clocks): string {
    if (!this.#json) return eventLine(event, clocks);
    const time = new Date(clocks.wallMs - (clocks.at - event.at)).toISOString();
    return JSON.stringify({ time, ...event, at: undefined });
  }
}
