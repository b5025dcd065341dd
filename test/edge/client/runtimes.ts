// The conformance script on every runtime, each against one node with the packed client as it is published.
//
//   bun test/edge/client/runtimes.ts     the tables of runtimes and of sizes
//
// Promise: a runtime that is not on this machine is told as skipped, never as held.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle, pack } from "../../../edge/client/pack.ts";
import { createMemoryDisk } from "../../../src/journal/memory-disk.ts";
import { startNode } from "../../../src/node/node.ts";
import { version } from "../../../src/version.ts";
import { tableLines } from "../../bench/report.ts";
import { chromiumThere, withPage } from "./chromium.ts";
import type { Checked } from "./conformance.ts";
import { startWorker, workerdThere } from "./workerd.ts";

const root = join(import.meta.dirname, "../../..");

export interface Ground extends AsyncDisposable {
  readonly url: string;
  /** Holds client.js, conformance.js and run.js. */
  readonly dir: string;
  /** Serves dir to a browser, and takes what its page found. */
  readonly page: { readonly url: string; readonly result: Promise<readonly Checked[]> };
}

export type Runtime = (ground: Ground) => Promise<readonly Checked[]>;

/** null: not on this machine. */
export const runtimes: Readonly<Record<string, Runtime | null>> = {
  bun: (ground) => inProcess([process.execPath, "run.js"], ground),
  node: Bun.which("node") === null ? null : (ground) => inProcess(["node", "run.js"], ground),
  deno: (ground) =>
    inProcess([join(root, "node_modules/.bin/deno"), "run", "--allow-net", "run.js"], ground),
  workerd: workerdThere ? inWorkerd : null,
  chromium: chromiumThere ? ({ page }) => withPage(page.url, page.result) : null,
};

/** One node, the client and the script as plain modules. */
export async function prepare(): Promise<Ground> {
  const dir = mkdtempSync(join(tmpdir(), "rivulet-runtimes-"));
  writeFileSync(join(dir, "package.json"), '{"type": "module"}');
  writeFileSync(join(dir, "client.js"), await bundle("readable"));
  const script = await Bun.build({ entrypoints: [join(import.meta.dirname, "conformance.ts")] });
  writeFileSync(join(dir, "conformance.js"), await script.outputs[0].text());
  const result = Promise.withResolvers<readonly Checked[]>();
  const pages = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/") return new Response(pageText(node.url), { headers: html });
      if (pathname.endsWith(".js")) return new Response(Bun.file(join(dir, pathname)));
      if (pathname !== "/result") return new Response(null, { status: 404 });
      result.resolve((await request.json()) as Checked[]);
      return new Response(null, { status: 204 });
    },
  });
  const origin = `http://127.0.0.1:${pages.port}`;
  const http = { host: "127.0.0.1", port: 0, loopback: true };
  const storage = { memory: createMemoryDisk() };
  const started = await startNode({ storage, http, version, corsOrigins: [origin] });
  if ("heldBy" in started) throw new Error("A disk in memory is held by nobody");
  const node = started;
  writeFileSync(join(dir, "run.js"), runText(node.url));
  return {
    url: node.url,
    dir,
    page: { url: origin, result: result.promise },
    async [Symbol.asyncDispose]() {
      await pages.stop(true);
      await node.stop({ graceMs: 0 });
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const html = { "content-type": "text/html" };

const runText = (url: string): string => `import * as client from "./client.js";
import { conform } from "./conformance.js";
const name = globalThis.Deno ? "deno" : globalThis.Bun ? "bun" : "node";
console.log(JSON.stringify(await conform(client, "${url}", name)));
`;

const pageText = (url: string): string => `<!doctype html><script type="module">
import * as client from "./client.js";
import { conform } from "./conformance.js";
const found = await conform(client, "${url}", "chromium");
await fetch("/result", { method: "POST", body: JSON.stringify(found) });
</script>`;

const workerText = `import * as client from "client.js";
import { conform } from "conformance.js";
export default {
  async fetch(request, env) {
    return Response.json(await conform(client, env.URL, "workerd"));
  },
};
`;

async function inProcess(command: string[], { dir }: Ground): Promise<readonly Checked[]> {
  const child = Bun.spawn(command, { cwd: dir, stdio: ["ignore", "pipe", "inherit"] });
  const said = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed: ${said}`);
  return JSON.parse(said) as Checked[];
}

async function inWorkerd({ dir, url }: Ground): Promise<readonly Checked[]> {
  const text = (name: string) => Bun.file(join(dir, name)).text();
  const modules = {
    "main.js": workerText,
    "client.js": await text("client.js"),
    "conformance.js": await text("conformance.js"),
  };
  const worker = await startWorker(join(dir, "workerd"), modules, { URL: url });
  try {
    return (await (await fetch(worker.url)).json()) as Checked[];
  } finally {
    await worker.stop();
  }
}

if (import.meta.main) {
  await using ground = await prepare();
  const rows = [];
  for (const [runtime, run] of Object.entries(runtimes)) {
    const checks = run === null ? null : await run(ground);
    const faults = checks?.filter(({ fault }) => fault !== null) ?? [];
    for (const { name, fault } of faults) console.error(`${runtime}: ${name}: ${fault}`);
    const verdict = faults.length === 0 ? "holds" : "does not hold";
    rows.push({
      runtime,
      checks: checks?.length ?? null,
      verdict: checks === null ? "skipped" : verdict,
    });
  }
  console.log(tableLines("One script, one node, the packed client", rows).join("\n"));
  const sizes = Object.entries(await pack(join(ground.dir, "packed")));
  const lines = tableLines(
    "@rivulet/client",
    sizes.map(([form, bytes]) => ({ form, bytes })),
  );
  console.log(`\n${lines.join("\n")}`);
}
