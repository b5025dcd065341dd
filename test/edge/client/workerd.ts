// A Worker in workerd, the runtime of Cloudflare's Workers, on a free port.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The program itself. `.bin/workerd` may be a script that starts it, and a script that is ended leaves it running. */
const workerd = join(
  import.meta.dirname,
  `../../../node_modules/@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? "64" : process.arch}`,
  "bin/workerd",
);

export const workerdThere = existsSync(workerd);

export interface RunningWorker {
  readonly url: string;
  stop(): Promise<void>;
}

/** Modules by name, the first is the Worker; bindings are texts in `env`. `dir` is where the files go. */
export async function startWorker(
  dir: string,
  modules: Readonly<Record<string, string>>,
  bindings: Readonly<Record<string, string>> = {},
): Promise<RunningWorker> {
  for (const [name, text] of Object.entries(modules)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  const config = join(dir, "worker.capnp");
  writeFileSync(config, configText(Object.keys(modules), bindings));
  const child = Bun.spawn([workerd, "serve", config, "--control-fd=1"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await portOf(child.stdout);
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

/** The first line says where it listens. */
async function portOf(stdout: ReadableStream<Uint8Array>): Promise<number> {
  const decoder = new TextDecoder();
  let text = "";
  const reader = stdout.getReader();
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`workerd ended before it listened: ${text}`);
    text += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return (JSON.parse(text.split("\n")[0]) as { readonly port: number }).port;
}

function configText(
  modules: readonly string[],
  bindings: Readonly<Record<string, string>>,
): string {
  const listed = modules.map((name) => `(name = "${name}", esModule = embed "${name}")`);
  const bound = Object.entries(bindings).map(
    ([name, text]) => `(name = "${name}", text = "${text}")`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  compatibilityDate = "2026-11-01",
  modules = [${listed.join(", ")}],
  bindings = [${bound.join(", ")}],
);
`;
}
