// A transport-node.ts in a child process, as tests and benches see it.

import { join } from "node:path";
import { until } from "../broker/virtual-world.ts";
import type { Lane, Peer } from "../../src/transport/transport.ts";

const root = join(import.meta.dirname, "../..");
const script = join(import.meta.dirname, "transport-node.ts");

export type Runtime = "bun" | "deno";

export interface Stats {
  readonly packets: number;
  readonly bytes: number;
  readonly wrong: number;
  /** CPU time of the process, us. */
  readonly user: number;
  readonly system: number;
}

export class ChildNode {
  readonly nodeId: number;
  readonly events: string[] = [];
  readonly logs: string[] = [];
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  #address: { host: string; port: number } | null = null;
  #stats: Stats | null = null;
  #sends = 0;
  readonly #sent = new Set<number>();
  #pid = 0;

  constructor(runtime: Runtime, options: { readonly nodeId: number } & Record<string, unknown>) {
    this.nodeId = options.nodeId;
    const command =
      runtime === "bun"
        ? [process.execPath]
        : [join(root, "node_modules/.bin/deno"), "run", "-A", "--no-lock"];
    this.#child = Bun.spawn([...command, script, JSON.stringify(options)], {
      cwd: root,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    void this.#read();
  }

  get peer(): Peer {
    return { nodeId: this.nodeId, ...this.#address! };
  }

  async ready(): Promise<this> {
    await until(() => this.#address !== null, `node ${this.nodeId} to listen`, 30_000);
    return this;
  }

  setPeers(peers: readonly Peer[]): void {
    this.#tell({ peers });
  }

  /** Resolves once all packets were taken by its transport. */
  async send(to: number, lane: Lane, packets: { count: number; size: number }): Promise<void> {
    const id = (this.#sends += 1);
    this.#tell({ send: { id, to, lane, ...packets } });
    await until(() => this.#sent.has(id), "the packets to be sent", 50_000);
  }

  async stats(): Promise<Stats> {
    this.#stats = null;
    this.#tell({ stats: true });
    await until(() => this.#stats !== null, "the counts");
    return this.#stats as unknown as Stats;
  }

  /** Resolves when it has received that many packets. */
  async received(packets: number): Promise<Stats> {
    const deadline = performance.now() + 60_000;
    for (;;) {
      const stats = await this.stats();
      if (stats.packets >= packets || performance.now() > deadline) return stats;
    }
  }

  /** The process itself, not a script that started it. */
  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    try {
      process.kill(this.#pid, signal);
    } catch {
      // It has ended already.
    }
  }

  async end(): Promise<void> {
    if (this.#pid !== 0) this.kill();
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  #tell(line: object): void {
    void this.#child.stdin.write(`${JSON.stringify(line)}\n`);
    void this.#child.stdin.flush();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of this.#child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) this.#heard(JSON.parse(line) as Record<string, unknown>);
    }
  }

  #heard({ address, pid, event, sent, stats, log }: Record<string, unknown>): void {
    if (address !== undefined) this.#address = address as { host: string; port: number };
    if (pid !== undefined) this.#pid = pid as number;
    if (event !== undefined) this.events.push(event as string);
    if (sent !== undefined) this.#sent.add(sent as number);
    if (stats !== undefined) this.#stats = stats as Stats;
    if (log !== undefined) this.logs.push(JSON.stringify(log));
  }
}
