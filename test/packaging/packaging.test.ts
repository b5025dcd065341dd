// The package as npm packs it, installed without any install script, run the ways that people run it.
//
//   app/       npm install --ignore-scripts rivulet-*.tgz deno   what `npx rivulet` finds
//   checkout/  the tarball unpacked, with app's node_modules     what a clone is, for Bun alone and for Deno
//
// Needs npm and what it has cached or can fetch; skipped where there is none, and says so.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "..", "..");
const npm = Bun.which("npm");
const posix = npm !== null && process.platform !== "win32";
const manifest = (await Bun.file(join(root, "package.json")).json()) as {
  devDependencies: Record<string, string>;
};

const folder = realpathSync(mkdtempSync(join(tmpdir(), "rivulet-package-")));
const app = join(folder, "app");
const checkout = join(folder, "package");

beforeAll(async () => {
  if (!posix) return console.warn("skipped: there is no npm to pack with");
  await output([npm, "pack", "--silent", "--pack-destination", folder], root);
  const tarball = join(
    folder,
    readdirSync(folder).find((name) => name.endsWith(".tgz"))!,
  );
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), '{"name":"app","private":true}');
  const flags = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--silent"];
  const deno = `deno@${manifest.devDependencies.deno}`;
  await output([npm, "install", ...flags, tarball, deno], app);
  await output(["tar", "xzf", tarball, "-C", folder], folder);
  symlinkSync(join(app, "node_modules"), join(checkout, "node_modules"));
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.skipIf(!posix)("the package holds what runs, and nothing that only we need", () => {
  const tops = readdirSync(checkout).filter((name) => name !== "node_modules");
  expect(new Set(tops)).toEqual(
    new Set([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "bunfig.toml",
      "drizzle",
      "edge",
      "package.json",
      "raft",
      "src",
    ]),
  );
});

test.skipIf(!posix)("npm left Bun's placeholder, so that the next test means something", () => {
  expect(statSync(join(app, "node_modules/bun/bin/bun.exe")).size).toBeLessThan(1_000);
});

test.skipIf(!posix)(
  "npx runs it without any install script",
  async () => {
    expect(await output(["npx", "--no-install", "rivulet", "--version"], app)).toMatch(
      /^\d+\.\d+\.\d+\n$/,
    );
    await runs(["npx", "--no-install", "rivulet", "start"], app);
  },
  60_000,
);

test.skipIf(!posix)(
  "bun start runs it with nothing but Bun on PATH",
  async () => {
    const path = join(folder, "bin");
    mkdirSync(path);
    symlinkSync(process.execPath, join(path, "bun"));
    symlinkSync(Bun.which("sh")!, join(path, "sh"));
    await runs([join(path, "bun"), "start"], checkout, path);
  },
  60_000,
);

test.skipIf(!posix)(
  "the deno package runs it, its install script blocked too",
  async () => {
    await runs(
      ["node", "node_modules/deno/bin.cjs", "run", "-A", "src/main.ts", "start"],
      checkout,
    );
  },
  60_000,
);

test.skipIf(!posix)(
  "rivulet/test works from the installed package",
  async () => {
    const file = join(app, "one.test.ts");
    const code = `
    import { expect, test } from "bun:test";
    import { startBroker } from "rivulet/test";
    test("one", async () => {
      await using broker = await startBroker({ storage: "disk" });
      await broker.send("t", { value: "x" });
      expect(await broker.waitFor("t", 1)).toHaveLength(1);
    });`;
    writeFileSync(file, code);
    const child = Bun.spawn([process.execPath, "test", file], { cwd: app, stderr: "pipe" });
    expect(await new Response(child.stderr).text()).toContain("1 pass");
  },
  60_000,
);

/** Starts the node, writes a record, stops it in order. */
async function runs(
  command: readonly string[],
  cwd: string,
  path = process.env.PATH ?? "",
): Promise<void> {
  const data = join(folder, `data-${readdirSync(folder).length}`);
  const [program, ...args] = command;
  const flags = ["--data", data, "--http", "127.0.0.1:0"];
  // A group of its own: stopped as a terminal's Ctrl-C stops it, the processes between us and the node included.
  // Nothing of the npm that may run these tests: it names a Node, which Bun would then look for.
  const env = { PATH: path, HOME: process.env.HOME ?? folder };
  const child = spawn(program, [...args, ...flags], { cwd, env, detached: true });
  const told: string[] = [];
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.stderr.on("data", (chunk: Buffer) => told.push(chunk.toString()));
  try {
    await new Promise<void>((resolve, reject) => {
      void exited.then((code) =>
        reject(new Error(`${command.join(" ")} ended with ${String(code)}: ${told.join("")}`)),
      );
      child.stdout.on("data", (chunk: Buffer) => {
        told.push(chunk.toString());
        if (told.join("").includes("tail?from=earliest")) resolve();
      });
    });
    const url = /http:\/\/[\d.]+:\d+/.exec(told.join(""))?.[0];
    const headers = { "content-type": "text/plain" };
    const path = `${url}/v1/topics/greetings/records`;
    const response = await fetch(path, { method: "POST", headers, body: "hello" });
    expect(await response.json()).toMatchObject({ receipts: [{ partition: 0, offset: 0 }] });
  } finally {
    // The group may be gone: then the reason was thrown above.
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined)
      process.kill(-child.pid, "SIGINT");
    await exited;
  }
  // A process in between (deno's bin.cjs) may be gone before the node is.
  while (!existsSync(join(data, "journal/clean-stop.json"))) await Bun.sleep(5);
}

async function output(command: readonly string[], cwd: string): Promise<string> {
  const child = Bun.spawn([...command], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed: ${err}`);
  return out;
}
