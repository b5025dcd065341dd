// A node as a process: what it says, how it ends, what keeps it from starting.

import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { startNodeProcess } from "../durability/node-process.ts";

const root = join(import.meta.dir, "..", "..");
const main = join(root, "src/main.ts");
const scratch = mkdtempSync(join(tmpdir(), "rivulet-process-"));
let count = 0;
let data = "";
beforeEach(() => void (data = join(scratch, `data-${count++}`)));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs a command line that ends by itself. */
async function run(...args: string[]) {
  const child = Bun.spawn([process.execPath, main, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, out, err };
}

describe("rivulet start", () => {
  test("says URL, folder, durability and what to paste; stops in order on SIGTERM", async () => {
    await using node = await startNodeProcess({ data });
    const told = node.output();
    for (const words of [node.url, data, "full", "curl http", "curl -N 'http"])
      expect(told).toContain(words);
    expect(await node.stop()).toBe(0);
    expect(node.output()).toMatch(/"message":"Stopped","tookMs":\d+/);
    expect(existsSync(join(data, "journal/clean-stop.json"))).toBe(true);
  }, 20_000);

  test("--json tells a program in one line", async () => {
    await using node = await startNodeProcess({ data, args: ["--json"] });
    const line = node
      .output()
      .split("\n")
      .find((one) => one.includes('"clusterId"'));
    expect(JSON.parse(line ?? "")).toMatchObject({ url: node.url, data, pid: node.pid, nodeId: 1 });
  }, 20_000);

  test("keeps what was acknowledged over kill -9", async () => {
    {
      await using node = await startNodeProcess({ data });
      await post(node.url, "kept");
      await node.killHard();
    }
    await using again = await startNodeProcess({ data });
    const path = `${again.url}/v1/topics/t/records`;
    expect(await (await fetch(path)).json()).toMatchObject({ records: [{ value: "kept" }] });
  }, 20_000);

  test("names the holder of a folder, and what to type", async () => {
    await using node = await startNodeProcess({ data });
    const { code, err } = await run("start", "--data", data, "--http", "127.0.0.1:0");
    expect(code).toBe(1);
    for (const words of [
      `pid ${node.pid}`,
      data,
      `rivulet status --url ${node.url}`,
      `kill ${node.pid}`,
    ])
      expect(err).toContain(words);
  }, 20_000);

  test("names the holder of a port, and what to type; the folder is free again", async () => {
    await using node = await startNodeProcess({ data });
    const port = Number(new URL(node.url).port);
    const other = `${data}-other`;
    const { code, err } = await run("start", "--data", other, "--http", `127.0.0.1:${port}`);
    expect(code).toBe(1);
    expect(err).toContain("is taken by another Rivulet node");
    expect(err).toContain(`rivulet start --http 127.0.0.1:${port + 1}`);
    await using second = await startNodeProcess({ data: other });
    expect(second.url).not.toBe(node.url);
  }, 20_000);

  test("refuses a folder of a newer format", async () => {
    mkdirSync(data);
    writeFileSync(join(data, "identity.json"), '{"formatVersion":99}');
    const { code, err } = await run("start", "--data", data, "--http", "127.0.0.1:0");
    expect(err).toContain("it has format version 99");
    expect(code).toBe(1);
    expect(existsSync(join(data, "journal"))).toBe(false);
  }, 20_000);

  test("refuses a setting that there is not, and names the nearest", async () => {
    const { code, err } = await run("start", "--data", data, "--config", "num.partition=3");
    expect(err).toContain("did you mean num.partitions?");
    expect(code).toBe(1);
  }, 20_000);

  test("warns of a misspelt variable", async () => {
    await using node = await startNodeProcess({ data, env: { RIVULET_DURABILTY: "os" } });
    expect(node.output()).toContain('"nearest":"RIVULET_DURABILITY"');
  }, 20_000);

  test("stops when the pipe of its launcher ends", async () => {
    const child = spawn(
      process.execPath,
      [main, "start", "--data", data, "--http", "127.0.0.1:0"],
      {
        env: { ...process.env, RIVULET_LAUNCHER_PIPE: "3" },
        stdio: ["ignore", "pipe", "ignore", "pipe"],
      },
    );
    const exited = new Promise((resolve) => child.once("exit", resolve));
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    child.stdio[3]?.destroy();
    expect(await exited).toBe(0);
    expect(existsSync(join(data, "journal/clean-stop.json"))).toBe(true);
  }, 20_000);
});

describe("rivulet verify", () => {
  test("finds nothing wrong in a whole folder, and refuses one in use", async () => {
    await using node = await startNodeProcess({ data });
    await post(node.url, "x");
    const inUse = await run("verify", data);
    expect(inUse.err).toContain(`(pid ${node.pid})`);
    await node.stop();
    const verified = await run("verify", data, "--json");
    expect(JSON.parse(verified.out)).toMatchObject({ summary: { damaged: 0 } });
    expect(verified.code).toBe(0);
  }, 20_000);
});

async function post(url: string, body: string): Promise<void> {
  const headers = { "content-type": "text/plain" };
  const response = await fetch(`${url}/v1/topics/t/records`, { method: "POST", headers, body });
  expect(response.status).toBe(200);
  await response.arrayBuffer();
}
