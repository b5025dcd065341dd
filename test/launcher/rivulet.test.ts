// The launcher under a real Node, with made-up node_modules folders whose "bun" is a shell script that tells what it
// was given. Skipped where there is no Node or no POSIX shell.

import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "..", "..");
const pin: string = (await Bun.file(join(root, "package.json")).json()).dependencies.bun;
const node = realNode();
const posix = node !== null && process.platform !== "win32";
const ovenName = `bun-${process.platform}-${process.arch === "arm64" ? "aarch64" : process.arch}`;

let folder = "";
const folders: string[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rivulet-launcher-"));
  folders.push(folder);
});
afterAll(() => folders.forEach((one) => rmSync(one, { recursive: true, force: true })));

describe.skipIf(!posix)("the launcher under Node", () => {
  test("takes node_modules/bun before anything else", async () => {
    install("app/node_modules/rivulet");
    fakeBun("app/node_modules/bun/bin/bun.exe", "bun");
    fakeBun(`app/node_modules/@oven/${ovenName}/bin/bun`, "oven");
    const { stdout, code } = await launch("app/node_modules/rivulet", ["topics", "list"]);
    expect(stdout).toStartWith("bun ");
    expect(stdout).toContain("--no-orphans");
    expect(stdout).toEndWith("src/main.ts topics list\n");
    expect(code).toBe(0);
  });

  test("takes the nested package before the hoisted one", async () => {
    install("app/node_modules/rivulet");
    fakeBun("app/node_modules/bun/bin/bun.exe", "hoisted");
    fakeBun("app/node_modules/rivulet/node_modules/bun/bin/bun.exe", "nested");
    expect((await launch("app/node_modules/rivulet", ["status"])).stdout).toStartWith("nested ");
  });

  test("takes the @oven package where an install script was blocked and left a placeholder", async () => {
    install("app/node_modules/rivulet");
    placeholder("app/node_modules/bun/bin/bun.exe");
    fakeBun(`app/node_modules/@oven/${ovenName}/bin/bun`, "oven");
    expect((await launch("app/node_modules/rivulet", ["status"])).stdout).toStartWith("oven ");
  });

  test("finds an @oven package that is nested below the bun package", async () => {
    install("app/node_modules/rivulet");
    placeholder("app/node_modules/bun/bin/bun.exe");
    fakeBun(`app/node_modules/bun/node_modules/@oven/${ovenName}/bin/bun`, "deep");
    expect((await launch("app/node_modules/rivulet", ["status"])).stdout).toStartWith("deep ");
  });

  test.skipIf(process.platform !== "linux")(
    "takes the musl binary when it alone is there",
    async () => {
      install("app/node_modules/rivulet");
      fakeBun(`app/node_modules/@oven/${ovenName}-musl/bin/bun`, "musl");
      expect((await launch("app/node_modules/rivulet", ["status"])).stdout).toStartWith("musl ");
    },
  );

  test("goes on to the next candidate when the system cannot execute one", async () => {
    install("app/node_modules/rivulet");
    fakeBun("app/node_modules/bun/bin/bun.exe", "broken", "#!/no/such/interpreter");
    fakeBun(`app/node_modules/@oven/${ovenName}/bin/bun`, "oven");
    expect((await launch("app/node_modules/rivulet", ["status"])).stdout).toStartWith("oven ");
  });

  test("takes bun on PATH at or above the pin", async () => {
    install("checkout");
    fakeBun("old/bun", "old", "#!/bin/sh", "1.0.0");
    fakeBun("new/bun", "new", "#!/bin/sh", "99.0.1");
    const path = [join(folder, "old"), join(folder, "new"), "/bin"].join(":");
    expect((await launch("checkout", ["status"], path)).stdout).toStartWith("new ");
  });

  test("names one command and fails when there is no Bun", async () => {
    install("checkout");
    fakeBun("old/bun", "old", "#!/bin/sh", "1.0.0");
    const { stderr, code } = await launch("checkout", ["start"], join(folder, "old"));
    expect(code).toBe(1);
    expect(stderr).toContain(`npm install --include=optional --prefix "${folder}/checkout"`);
    expect(stderr).toContain(pin);
  });

  test("names the project's folder, not the package's, when it was installed as a dependency", async () => {
    install("app/node_modules/rivulet");
    const { stderr } = await launch("app/node_modules/rivulet", ["start"], "");
    expect(stderr).toContain(`--prefix "${folder}/app"`);
  });

  test("--run runs another script with the Bun that was found", async () => {
    install("checkout");
    fakeBun("checkout/node_modules/bun/bin/bun.exe", "bun");
    const { stdout } = await launch("checkout", ["--run", "test/run-tests.ts", "one", "two"]);
    expect(stdout).toEndWith("/test/run-tests.ts one two\n");
  });
});

describe.skipIf(!posix)("the launcher's child", () => {
  test("gives its exit code", async () => {
    install("app");
    shell("app", "exit 7");
    expect((await launch("app", ["status"])).code).toBe(7);
  });

  test("that a signal ended gives 128 + n", async () => {
    install("app");
    shell("app", "kill -9 $$");
    expect((await launch("app", ["status"])).code).toBe(137);
  });

  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    test(`hears ${signal} that the launcher got`, async () => {
      install("app");
      shell("app", countSignals);
      const child = start("app", ["start"]);
      await appears("ready");
      child.kill(signal);
      expect(await child.exited).toBe(42);
      expect(heard()).toBe(`${signal.slice(3)}\n`);
    });
  }

  test("hears a terminal's Ctrl-C once", async () => {
    if (Bun.which("script") === null)
      return console.warn("skipped: no script(1) to make a terminal");
    install("app");
    shell("app", countSignals);
    const command = `exec ${node} ${join(folder, "app/src/launcher/rivulet.js")} start`;
    const child = Bun.spawn(["script", "-qec", command, "/dev/null"], {
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
      env: environment(),
    });
    await appears("ready");
    void child.stdin.write("\x03");
    await child.stdin.flush();
    expect(await child.exited).toBe(42);
    expect(heard()).toBe("INT\n");
  });

  test("sees the pipe end when the launcher is killed with -9", async () => {
    install("app");
    // The pipe's end is the only way on from here.
    shell("app", `echo > ready; cat <&3 > /dev/null; echo gone > heard`);
    const child = start("app", ["start"]);
    await appears("ready");
    child.kill("SIGKILL");
    await appears("heard");
    expect(heard()).toBe("gone\n");
  });
});

test.skipIf(!posix)("a node under npm stops when npm's shell is killed", async () => {
  install("app");
  shell("app", countSignals);
  const launcher = join(folder, "app/src/launcher/rivulet.js");
  const child = Bun.spawn(["sh", "-c", `${node} ${launcher} start; true`], {
    env: { ...environment(), npm_lifecycle_event: "start" },
  });
  await appears("ready");
  child.kill("SIGTERM");
  await appears("heard");
  expect(heard()).toBe("TERM\n");
});

describe("the launcher under Bun", () => {
  test("imports main into the same process", async () => {
    install("app");
    writeFileSync(
      join(folder, "app/src/main.ts"),
      `console.log(process.pid, ...process.argv.slice(2))`,
    );
    const launcher = join(folder, "app/src/launcher/rivulet.js");
    const child = Bun.spawn([process.execPath, launcher, "topics", "list"], { stdout: "pipe" });
    expect(await new Response(child.stdout).text()).toBe(`${child.pid} topics list\n`);
  });

  test("--run gives the script its own arguments", async () => {
    install("app");
    const script = join(folder, "app/one.ts");
    writeFileSync(script, `console.log(...process.argv.slice(1))`);
    const launcher = join(folder, "app/src/launcher/rivulet.js");
    const command = [process.execPath, launcher, "--run", script, "a", "b"];
    const child = Bun.spawn(command, { stdout: "pipe" });
    expect(await new Response(child.stdout).text()).toBe(`${script} a b\n`);
  });
});

const countSignals = `
for s in INT TERM HUP; do trap "echo $s >> heard; stop=1" $s; done
echo > ready
while [ -z "$stop" ]; do sleep 0.05; done
sleep 0.3
exit 42`;

/** A package with nothing but the launcher, its package.json and the folder of the script that is never run. */
function install(at: string): void {
  mkdirSync(join(folder, at, "src", "launcher"), { recursive: true });
  copyFileSync(join(root, "src/launcher/rivulet.js"), join(folder, at, "src/launcher/rivulet.js"));
  const manifest = { type: "module", dependencies: { bun: pin } };
  writeFileSync(join(folder, at, "package.json"), JSON.stringify(manifest));
}

/** An executable over 1 MB that prints its name and arguments, and its version when asked. */
function fakeBun(at: string, name: string, interpreter = "#!/bin/sh", version = pin): void {
  const script = `[ "$1" = --version ] && echo ${version} && exit\necho ${name} "$@"\nexit 0`;
  executable(at, `${interpreter}\n${script}\n${"#".repeat(1024 * 1024)}`);
}

/** A bun that is this shell script, run in the test's folder. */
function shell(at: string, script: string): void {
  const text = `#!/bin/sh\ncd "${folder}"\n${script}\nexit 0\n${"#".repeat(1024 * 1024)}`;
  executable(join(at, "node_modules/bun/bin/bun.exe"), text);
}

function placeholder(at: string): void {
  executable(at, `echo "Error: the install script of bun was not run" >&2\nexit 1\n`);
}

function executable(at: string, text: string): void {
  const file = join(folder, at);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, 0o755);
}

function environment(path = "/usr/bin:/bin"): Record<string, string> {
  return { PATH: path, HOME: folder };
}

function start(at: string, args: readonly string[], path?: string) {
  const launcher = join(folder, at, "src/launcher/rivulet.js");
  return Bun.spawn([node ?? "node", launcher, ...args], {
    stdout: "pipe",
    stderr: "pipe",
    env: environment(path),
  });
}

async function launch(at: string, args: readonly string[], path?: string) {
  const child = start(at, args, path);
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code };
}

async function appears(file: string): Promise<void> {
  while (!existsSync(join(folder, file))) await Bun.sleep(5);
}

function heard(): string {
  return readFileSync(join(folder, "heard"), "utf8");
}

/** Node's own binary; null where `node` is missing or is Bun in disguise. */
function realNode(): string | null {
  const found = Bun.which("node");
  if (found === null) return null;
  const told = Bun.spawnSync([found, "-p", "process.versions.bun ?? 'node'"]).stdout.toString();
  return told.trim() === "node" ? found : null;
}
