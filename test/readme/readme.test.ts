// The README's commands and samples are run, against a node that was started the way it says.
//
// A ```console block is a transcript: "$ command" and what it prints. Timestamps, ids and cursors differ from run to run
// and are compared by their shape. A command that goes on (curl -N) is ended once the expected lines are there.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawn, type ChildProcess } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../src/node/free-port.ts";

const root = join(import.meta.dir, "..", "..");
const readme = readFileSync(join(root, "README.md"), "utf8");
/** Has nodes of its own. */
const threeNodes = /^## Three nodes\n[\s\S]*?(?=^## )/m.exec(readme)?.[0] ?? "";
const npm = Bun.which("npm");
const curl = Bun.which("curl");

const folder = mkdtempSync(join(tmpdir(), "rivulet-readme-"));
let node: ChildProcess | null = null;
let url = "";

beforeAll(async () => {
  if (npm === null) return;
  const args = ["--data", join(folder, "data"), "--http", "127.0.0.1:0", "--log-level", "error"];
  // A process group of its own, so that it can be ended as a terminal's Ctrl-C ends it.
  node = spawn(npm, ["start", "--silent", "--", ...args], { cwd: root, detached: true });
  const told: string[] = [];
  node.stderr?.on("data", (chunk: Buffer) => told.push(chunk.toString()));
  await new Promise<void>((resolve, reject) => {
    node?.on("exit", () => reject(new Error(`npm start ended: ${told.join("")}`)));
    node?.stdout?.on("data", (chunk: Buffer) => {
      told.push(chunk.toString());
      if (told.join("").includes("tail?from=earliest")) resolve();
    });
  });
  url = /http:\/\/[\d.]+:\d+/.exec(told.join(""))?.[0] ?? "";
  writeFileSync(join(folder, ".curlrc"), "silent\n");
}, 30_000);

afterAll(async () => {
  if (node?.pid !== undefined) {
    const exited = new Promise((resolve) => node?.once("exit", resolve));
    process.kill(-node.pid, "SIGINT");
    await exited;
    expect(existsSync(join(folder, "data/journal/clean-stop.json"))).toBe(true);
  }
  rmSync(folder, { recursive: true, force: true });
}, 20_000);

describe.skipIf(npm === null || curl === null)("the README's transcripts", () => {
  for (const { command, output } of transcript(readme.replace(threeNodes, "")))
    test(
      command.slice(0, 100),
      async () => {
        const printed = await run(command.replaceAll("http://127.0.0.1:7480", url), output);
        expect(shape(printed)).toBe(shape(output));
      },
      20_000,
    );
});

/** The three commands as they stand there, on free ports and in folders that are removed; with them running, the
 *  transcripts of that section. */
test.skipIf(npm === null || curl === null)(
  "the README's three nodes",
  async () => {
    const ports = new Map<string, string>();
    for (const [port] of threeNodes.matchAll(/\b74[89]\d\b/g))
      if (!ports.has(port)) ports.set(port, String(await freePort("127.0.0.1")));
    const back = new Map([...ports].map(([shown, used]) => [used, shown]));
    const [starts] = blocks("sh", threeNodes);
    const nodes: ChildProcess[] = [];
    try {
      for (const line of starts.trim().split("\n")) {
        const command = placed(line, ports).replace("./node-", join(folder, "node-"));
        const quiet = `exec ${command} --log-level error`;
        const child = spawn("sh", ["-c", quiet], { cwd: root, detached: true });
        nodes.push(child);
        await untilPrinted(child, "tail?from=earliest");
      }
      for (const { command, output } of transcript(threeNodes)) {
        const wanted = shape(output).replaceAll(/ +/g, " ");
        let printed = "";
        // A replica may still be on its way to the third node.
        for (let tries = 0; printed !== wanted && tries < 20; tries++) {
          const told = placed(await run(placed(command, ports), output), back);
          printed = shape(told).replaceAll(/ +/g, " ");
          if (!command.includes("status")) break;
        }
        expect(printed).toBe(wanted);
      }
    } finally {
      await Promise.all(nodes.map(endGroup));
    }
  },
  60_000,
);

/** The text with each port in another one's place. */
function placed(text: string, ports: ReadonlyMap<string, string>): string {
  return [...ports].reduce((words, [one, other]) => words.replaceAll(`:${one}`, `:${other}`), text);
}

function untilPrinted(child: ChildProcess, words: string): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    let told = "";
    child.on("exit", () => reject(new Error(`It ended: ${told}`)));
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk: Buffer) => {
        told += chunk.toString();
        if (told.includes(words)) resolve();
      });
  });
}

async function endGroup(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  process.kill(-child.pid, "SIGKILL");
  await exited;
}

for (const [i, code] of blocks("ts").entries()) {
  test(`the README's example test ${i + 1} passes`, async () => {
    const file = join(root, "test/readme", `example-${process.pid}-${i}.test.ts`);
    writeFileSync(file, code);
    try {
      const child = Bun.spawn([process.execPath, "test", file], { cwd: root, stderr: "pipe" });
      const told = await new Response(child.stderr).text();
      expect(told).toContain("1 pass");
      expect(await child.exited).toBe(0);
    } finally {
      rmSync(file);
    }
  }, 20_000);
}

test("the README's Worker is the example that the client's tests run", () => {
  const [worker] = blocks("js");
  expect(worker).toBe(readFileSync(join(root, "edge/client/examples/worker.js"), "utf8"));
});

test("the README's scripts are in package.json", async () => {
  const { scripts } = (await Bun.file(join(root, "package.json")).json()) as {
    scripts: Record<string, string>;
  };
  const named = [...readme.matchAll(/(?:npm|bun) run (?:--silent )?([a-z]+)/g)].map((m) => m[1]);
  for (const name of ["start", "test", ...named]) expect(Object.keys(scripts)).toContain(name);
});

function blocks(language: string, of = readme): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm");
  return [...of.matchAll(fence)].map((match) => match[1]);
}

function transcript(of: string): { command: string; output: string }[] {
  return blocks("console", of).flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((part) => {
        const end = part.indexOf("\n");
        return { command: part.slice(0, end), output: part.slice(end + 1) };
      }),
  );
}

/** Runs a command line until it ends, or until it has printed as much as is expected. */
async function run(command: string, expected: string): Promise<string> {
  const goesOn = command.startsWith("curl -N");
  const child = Bun.spawn(["sh", "-c", `exec 2>&1; ${goesOn ? "exec " : ""}${command}`], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    env: { ...process.env, RIVULET_URL: url, CURL_HOME: folder },
  });
  let printed = "";
  for await (const chunk of child.stdout) {
    printed += Buffer.from(chunk).toString();
    if (goesOn && shape(printed) === shape(expected)) child.kill();
  }
  return printed;
}

function shape(text: string): string {
  return text
    .replaceAll(/\b\d{13}\b/g, "TIME")
    .replaceAll(/("cursor":"|id: )[\w-]+/g, "$1CURSOR")
    .replaceAll(/\b[\da-f]{8}-[\da-f-]{27}\b/g, "UUID")
    .trimEnd();
}
