import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "../../../edge/client/pack.ts";
import { createMemoryDisk } from "../../../src/journal/memory-disk.ts";
import { startNode, type RunningNode } from "../../../src/node/node.ts";
import { version } from "../../../src/version.ts";
import { connect, type Client } from "../../../edge/client/client.ts";
import { chromiumThere, withPage } from "./chromium.ts";
import { startWorker, workerdThere } from "./workerd.ts";

const root = join(import.meta.dirname, "../../..");
const examples = join(root, "edge/client/examples");
const nodeThere = Bun.which("node") !== null;

/** The examples beside an installed client, as a user has them. */
let dir: string;
let node: RunningNode;
let client: Client;
let pages: Bun.Server<undefined>;
let shown = Promise.withResolvers<string>();

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "rivulet-examples-"));
  cpSync(examples, dir, { recursive: true });
  await pack(join(dir, "node_modules/@rivulet/client"));
  writeFileSync(join(dir, "package.json"), '{"type": "module"}');
  pages = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: servePage });
  const started = await startNode({
    storage: { memory: createMemoryDisk() },
    http: { host: "127.0.0.1", port: 0, loopback: true },
    version,
    corsOrigins: [`http://127.0.0.1:${pages.port}`],
  });
  if ("heldBy" in started) throw new Error("A disk in memory is held by nobody");
  node = started;
  client = connect(node.url);
}, 30_000);

afterAll(async () => {
  await pages.stop(true);
  await node.stop({ graceMs: 0 });
  rmSync(dir, { recursive: true, force: true });
});

/** The page as it is, and behind it a script that tells what it shows once there are three rows. */
async function servePage(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/shown") {
    shown.resolve(await request.text());
    return new Response(null, { status: 204 });
  }
  const probe = `<script type="module">
    const tell = () => document.querySelectorAll("#rows tr").length >= 3 &&
      fetch("/shown", { method: "POST", body: document.body.innerText });
    new MutationObserver(tell).observe(document.body, { childList: true, subtree: true });
    tell();
  </script>`;
  const text = readFileSync(join(dir, "page.html"), "utf8") + probe;
  return new Response(text, { headers: { "content-type": "text/html" } });
}

/** Runs until what it prints satisfies `enough`, or until it ends. */
async function outputOf(
  command: string[],
  enough: (printed: string) => boolean,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = Bun.spawn(command, {
    cwd: dir,
    env: { ...process.env, RIVULET_URL: node.url, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let printed = "";
  for await (const chunk of child.stdout) {
    printed += new TextDecoder().decode(chunk);
    if (enough(printed)) break;
  }
  child.kill("SIGTERM");
  await child.exited;
  return printed;
}

/** Values of a topic from its start, as soon as there are so many. */
async function values(topic: string, count: number): Promise<(string | null)[]> {
  const found: (string | null)[] = [];
  for await (const record of client.consume(topic, { from: "earliest" })) {
    if (found.push(record.text()) === count) break;
  }
  return found;
}

test("the README holds every example as it is", () => {
  const readme = readFileSync(join(root, "edge/client/README.md"), "utf8");
  for (const name of readdirSync(examples)) {
    expect(readme).toContain(`\n${readFileSync(join(examples, name), "utf8")}\`\`\``);
  }
});

describe("worker.js", () => {
  test.skipIf(!workerdThere)(
    "answers at once and writes behind its answer",
    async () => {
      const module = readFileSync(join(dir, "node_modules/@rivulet/client/client.js"), "utf8");
      const worker = readFileSync(join(dir, "worker.js"), "utf8");
      const modules = { "worker.js": worker, "@rivulet/client": module };
      const running = await startWorker(join(dir, "workerd"), modules, { RIVULET_URL: node.url });
      try {
        await client.admin.ensureTopic("visits");
        for (const path of ["/a", "/b"]) {
          expect(await (await fetch(running.url + path)).text()).toBe(`Hello from ${path}\n`);
        }
        const visits = (await values("visits", 2)).map(
          (text) => JSON.parse(text ?? "") as { path: string },
        );
        expect(visits.map(({ path }) => path).sort()).toEqual(["/a", "/b"]);
      } finally {
        await running.stop();
      }
    },
    30_000,
  );
});

describe("orders.js", () => {
  for (const runtime of ["bun", ...(nodeThere ? ["node"] : [])]) {
    test(`writes and follows (${runtime})`, async () => {
      const printed = await outputOf(
        [runtime === "bun" ? process.execPath : runtime, "orders.js"],
        (text) => /^\d+ o-1 12$/m.test(text),
      );
      expect(printed).toMatch(/^written at 0\/\d\n0 o-1 12\n/);
    }, 20_000);
  }
});

describe("account.js", () => {
  test("many tellers at once book every amount once and never overdraw", async () => {
    const tellers = `import { book } from "./account.js";
      await book("account", 5);
      const made = await Promise.all(Array.from({ length: 8 }, () => book("account", -1)));
      console.log(JSON.stringify(made.map(({ booked }) => booked).sort()));`;
    writeFileSync(join(dir, "tellers.js"), tellers);
    const printed = await outputOf([process.execPath, "tellers.js"], () => false);
    expect(JSON.parse(printed)).toEqual([false, false, false, true, true, true, true, true]);
    const amounts = (await values("account", 6)).map((text) => JSON.parse(text ?? "") as unknown);
    expect(amounts).toEqual([{ amount: 5 }, ...Array.from({ length: 5 }, () => ({ amount: -1 }))]);
  }, 30_000);
});

describe("ship-logs.sh", () => {
  test.skipIf(Bun.which("setsid") === null)(
    "ships lines as they are written, over a rotation",
    async () => {
      const bin = join(dir, "rivulet");
      const command = `exec "${process.execPath}" "${join(root, "src/main.ts")}" "$@"`;
      writeFileSync(bin, `#!/bin/sh\n${command}\n`, { mode: 0o755 });
      const log = join(dir, "app.log");
      writeFileSync(log, "one\n");
      const child = Bun.spawn(["setsid", "sh", "ship-logs.sh", log, "logs"], {
        cwd: dir,
        env: { ...process.env, PATH: `${dir}:${process.env["PATH"]}`, RIVULET_URL: node.url },
        stdio: ["ignore", "ignore", "ignore"],
      });
      try {
        await client.admin.ensureTopic("logs");
        expect(await values("logs", 1)).toEqual(["one"]);
        writeFileSync(log, "two\n", { flag: "a" });
        expect(await values("logs", 2)).toEqual(["one", "two"]);
        renameSync(log, `${log}.1`);
        writeFileSync(log, "three\n");
        expect(await values("logs", 3)).toEqual(["one", "two", "three"]);
      } finally {
        // tail, sh and rivulet together: the group that setsid made.
        process.kill(-child.pid, "SIGTERM");
        await child.exited;
      }
    },
    30_000,
  );
});

describe("page.html", () => {
  test.skipIf(!chromiumThere)(
    "shows what was there and what comes, as text",
    async () => {
      shown = Promise.withResolvers<string>();
      await client.send("page", [{ key: "k-1", value: "before" }, { value: "<b>bold</b>" }]);
      const origin = `http://127.0.0.1:${pages.port}`;
      const query = new URLSearchParams({ node: node.url, topic: "page" });
      const written = async (): Promise<string> => {
        // Whether the page has connected by then or not, it shows it.
        await client.send("page", { value: Uint8Array.of(255) });
        return await shown.promise;
      };
      const text = await withPage(`${origin}/?${query}`, written());
      for (const wanted of ["before", "k-1", "<b>bold</b>", "bytes: /w==", "live"]) {
        expect(text).toContain(wanted);
      }
    },
    30_000,
  );
});
