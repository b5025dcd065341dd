#!/usr/bin/env node
// The `rivulet` command: finds the Bun that runs the node, and stands between it and the terminal.
//
//   under Bun or Deno    imports src/main.ts into this very process
//   under Node           the first that there is of
//                          node_modules/bun/bin/bun.exe, over 1 MB   (npm 12 blocks the install script that puts
//                                                                     the binary there: a 450-byte placeholder)
//                          node_modules/@oven/bun-*/bin/bun[.exe]    (where the binary comes from; npm 11 moves it)
//                          bun on PATH, at or above the pin
//                        else one command that fixes it, and exit 1
//
// Promise: needs no install script, no build and no dependency; plain JavaScript for Node 20 and later. A terminal's
// Ctrl-C reaches the node once (the terminal sends it to the whole process group); SIGTERM and SIGHUP are handed on;
// the exit code is the child's, 128 + n when signal n ended it. The node stops when this process dies, even by
// kill -9: `start` watches the pipe at descriptor 3, every other command runs under Bun's --no-orphans.
// `--run FILE` runs another script of the project with the Bun that was found (package.json uses it).
// Left to src/main.ts: every word of the command line.

import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, realpathSync, statSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** npm's placeholder has 450 bytes, the binary about 100 MB. */
const binaryBytesMin = 1024 * 1024;
const windows = process.platform === "win32";
const launcherFile = realpathSync(fileURLToPath(import.meta.url));
const packageRoot = resolve(dirname(launcherFile), "..", "..");

/** The node, once it runs. */
let child;
const args = process.argv.slice(2);
const script = args[0] === "--run" ? resolve(args[1]) : join(packageRoot, "src", "main.ts");

if (globalThis.Deno !== undefined && launcherFile.includes(`${sep}node_modules${sep}`)) {
  console.error(
    "Deno does not run TypeScript that lies in node_modules. Type:\n\n  npx rivulet start\n\n" +
      "which runs on Bun, or run Rivulet's own checkout: deno run -A src/main.ts start",
  );
  process.exit(1);
} else if (process.versions.bun !== undefined || globalThis.Deno !== undefined) {
  // The script finds its own arguments where it would find them had it been started directly.
  if (args[0] === "--run") process.argv.splice(1, 3, script);
  await import(pathToFileURL(script).href);
} else {
  standBetween();
  watchNpm();
  run(candidates());
}

function* candidates() {
  yield* installedBuns();
  yield* bunsOnPath();
}

/** Starts the script under the first candidate that the system can execute (a musl binary on glibc cannot be). */
function run(buns) {
  const { value: bun, done } = buns.next();
  if (done) return giveUp();
  const serves = args[0] === "start";
  child = spawn(bun, [...bunFlags(serves), script, ...scriptArgs()], {
    stdio: ["inherit", "inherit", "inherit", ...(serves ? ["pipe"] : [])],
    env: serves ? { ...process.env, RIVULET_LAUNCHER_PIPE: "3" } : process.env,
  });
  child.on("error", () => run(buns));
  child.on("exit", (code, signal) => {
    process.exit(signal === null ? code : 128 + constants.signals[signal]);
  });
}

/** bunfig.toml and .env of the folder where a person happens to be are none of the node's business. */
function bunFlags(serves) {
  const flags = [`--config=${join(packageRoot, "bunfig.toml")}`, "--no-env-file", "--no-install"];
  return serves ? flags : [...flags, "--no-orphans"];
}

function scriptArgs() {
  return args[0] === "--run" ? args.slice(2) : args;
}

/** Before the child is there: a signal that came between would end this process alone. */
function standBetween() {
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  // The terminal has sent its Ctrl-C to the child too. Without a terminal somebody meant this process alone.
  process.on("SIGINT", () => {
    if (!hasTerminal()) child.kill("SIGINT");
  });
}

/** npm runs a script through a shell, and a shell that a signal ended hands nothing on: `kill` of `npm start` would leave
 *  the node behind. Only under npm: a shell that a person leaves must not take the node along. */
function watchNpm() {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    child.kill("SIGTERM");
  }, 250);
  watch.unref();
}

function hasTerminal() {
  try {
    closeSync(openSync(windows ? "CONIN$" : "/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}

/** Binaries under node_modules, nearest first: beside this package, above it, and beside the `bun` package (pnpm). */
function* installedBuns() {
  for (const modules of moduleFolders(dirname(launcherFile))) {
    const bun = join(modules, "bun", "bin", "bun.exe");
    if (isBinary(bun)) yield bun;
  }
  for (const modules of ovenFolders()) {
    for (const name of ovenPackages()) {
      const bun = join(modules, "@oven", name, "bin", windows ? "bun.exe" : "bun");
      if (isBinary(bun)) yield bun;
    }
  }
}

function* ovenFolders() {
  for (const modules of moduleFolders(dirname(launcherFile))) {
    yield modules;
    const bunPackage = join(modules, "bun");
    if (existsSync(bunPackage)) yield* moduleFolders(realpathSync(bunPackage));
  }
}

/** Every node_modules folder that an import from `from` would look into. */
function* moduleFolders(from) {
  for (let folder = from; ; folder = dirname(folder)) {
    if (!folder.endsWith(`${sep}node_modules`)) yield join(folder, "node_modules");
    if (folder === dirname(folder)) return;
  }
}

/** Names of the packages that may hold a binary for this machine, the likeliest first. */
function ovenPackages() {
  const system = { win32: "windows", android: "linux" }[process.platform] ?? process.platform;
  const cpu = { arm64: "aarch64" }[process.arch] ?? process.arch;
  const name = `bun-${system}-${cpu}`;
  if (process.platform === "android") return [`${name}-android`];
  if (process.platform !== "linux") return [name];
  return usesMusl() ? [`${name}-musl`, name] : [name, `${name}-musl`];
}

function usesMusl() {
  const arch = { x64: "x86_64", arm64: "aarch64" }[process.arch] ?? process.arch;
  return existsSync(`/lib/ld-musl-${arch}.so.1`);
}

function isBinary(file) {
  return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > binaryBytesMin;
}

/** Every bun on PATH that says a version at or above the pin. */
function* bunsOnPath() {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const bun = join(folder, windows ? "bun.exe" : "bun");
    if (folder === "" || !existsSync(bun)) continue;
    const { stdout } = spawnSync(bun, ["--version"], { encoding: "utf8", timeout: 10_000 });
    if (atLeast(stdout ?? "", pinned())) yield bun;
  }
}

function pinned() {
  return JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")).dependencies.bun;
}

function atLeast(version, wanted) {
  const found = /^(\d+)\.(\d+)\.(\d+)/.exec(version);
  if (found === null) return false;
  const order = wanted.split(".").map((part, i) => Number(found[i + 1]) - Number(part));
  return (order.find((difference) => difference !== 0) ?? 0) >= 0;
}

/** The folder whose `npm install` brought, or would bring, this package. */
function projectRoot() {
  const outermost = launcherFile.indexOf(`${sep}node_modules${sep}`);
  return outermost < 0 ? packageRoot : launcherFile.slice(0, outermost);
}

function giveUp() {
  const globally = /[/\\](lib|npm)$/.test(projectRoot());
  const fix = globally
    ? `npm install --global --include=optional rivulet`
    : `npm install --include=optional --prefix "${projectRoot()}"`;
  console.error(
    `rivulet needs Bun ${pinned()}, which comes as its dependency and is not installed. Type:\n\n  ${fix}\n`,
  );
  process.exit(1);
}
