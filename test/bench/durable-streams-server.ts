// Durable Streams' own server (npm @durable-streams/server, Apache-2.0) as the benches start it: on Node, its home, with a
// folder as its disk.
//
// Why it is no development dependency: seventeen packages, 23 MB and two native modules (LMDB, msgpack) in every clone
// for one comparison. It is looked for in a folder of its own, and installed there when the bench is told to.

import { existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { BenchServer } from "./bench-server.ts";

export const durableStreams = "@durable-streams/server@0.3.7";

const home = join(tmpdir(), `rivulet-bench-${durableStreams.replaceAll(/[^a-z0-9.]+/g, "-")}`);
const entry = join(home, "node_modules", "@durable-streams", "server", "dist", "index.js");

export const installed = (): boolean => existsSync(entry);

/** Installs it from npm, without running any script of a package: its native parts come built. Throws when npm fails. */
export async function install(): Promise<void> {
  mkdirSync(home, { recursive: true });
  const command = [
    "npm",
    "install",
    "--prefix",
    home,
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
  ];
  const child = Bun.spawn([...command, durableStreams], { stdout: "ignore", stderr: "inherit" });
  if ((await child.exited) !== 0) throw new Error(`npm could not install ${durableStreams}`);
}

export async function startDurableStreams(folder: string): Promise<BenchServer> {
  const script = `
    import { DurableStreamTestServer } from ${JSON.stringify(pathToFileURL(entry).href)};
    console.info = console.log = () => undefined;
    const options = { port: 0, host: "127.0.0.1", dataDir: ${JSON.stringify(folder)}, compression: false };
    const server = new DurableStreamTestServer(options);
    await server.start();
    process.stdout.write(server.url + "\\n");
    process.once("SIGTERM", () => process.exit(0));`;
  const child = Bun.spawn(["node", "--input-type=module", "-e", script], {
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  let url: string | undefined;
  for await (const piece of child.stdout) {
    text += new TextDecoder().decode(piece);
    url = /^(http:\S+)\n/m.exec(text)?.[1];
    if (url !== undefined) break;
  }
  if (url === undefined) throw new Error(`Durable Streams did not start: ${text}`);
  return {
    url,
    pid: child.pid,
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}
