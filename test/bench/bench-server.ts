// A server of a bench: a script of this folder in a process of its own, which prints its URL first.

import { join } from "node:path";

export interface BenchServer {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

export async function startServer(script: string, ...args: string[]): Promise<BenchServer> {
  const child = Bun.spawn(["bun", join(import.meta.dirname, script), ...args], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value: line } = await child.stdout.getReader().read();
  return {
    url: new TextDecoder().decode(line).trim(),
    pid: child.pid,
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}
