// tail -F file | rivulet produce TOPIC: lines come soon, once and in order, also when the node goes away meanwhile, and
// a signal ends it without losing what tail has let go of.

import { afterAll, describe, expect, test } from "bun:test";
import { spawn, type ChildProcess } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBroker, type TestBroker } from "../../src/testing/index.ts";
import { systemWorld } from "../../src/world.ts";
import { runArgs } from "./memory-terminal.ts";
import { Interrupted, interruptibleInput } from "../../src/cli/interruptible-input.ts";

const folder = mkdtempSync(join(tmpdir(), "rivulet-shipping-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const main = join(import.meta.dir, "../../src/main.ts");

interface Shipper {
  readonly file: string;
  readonly process: ChildProcess;
  /** What it said, and its exit code, once it has ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly err: string }>;
}

/** A shell pipe in a process group of its own, so that it can be ended as a terminal's Ctrl-C ends it. */
function ship(broker: TestBroker, topic: string): Shipper {
  const file = join(folder, `${topic}.log`);
  writeFileSync(file, "");
  const line = `tail -n +1 -F '${file}' | '${process.execPath}' '${main}' produce ${topic}`;
  const env = { ...process.env, RIVULET_URL: broker.url };
  const child = spawn("sh", ["-c", line], {
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let err = "";
  child.stderr?.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const ended = new Promise<{ code: number | null; err: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, err }));
  });
  return { file, process: child, ended };
}

const values = (records: readonly { readonly value?: string | null }[]) =>
  records.map(({ value }) => value);
const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `line ${from + i}`);

describe.skipIf(Bun.which("tail") === null)("tail -F | rivulet produce", () => {
  test("ships each line as it is written, and ends with Ctrl-C", async () => {
    await using broker = await startBroker();
    const shipper = ship(broker, "lines");
    for (const [i, line] of numbered(0, 5).entries()) {
      // Nothing else is written until the line is there: no line waits for the next one.
      appendFileSync(shipper.file, `${line}\n`);
      await broker.waitFor("lines", i + 1, { timeoutMs: 10_000 });
    }
    process.kill(-(shipper.process.pid ?? 0), "SIGINT");
    const { err } = await shipper.ended;
    expect(err).toContain("5 records were written");
    expect(values(await broker.read("lines"))).toEqual(numbered(0, 5));
  }, 30_000);

  test("writes every line once and in order while the node restarts twice", async () => {
    await using broker = await startBroker({ storage: "disk" });
    const shipper = ship(broker, "restarts");
    let written = 0;
    const append = (count: number) => {
      appendFileSync(
        shipper.file,
        numbered(written, written + count)
          .join("\n")
          .concat("\n"),
      );
      written += count;
    };
    append(100);
    await broker.waitFor("restarts", 100, { timeoutMs: 10_000 });
    for (let round = 0; round < 2; round++) {
      const restarted = broker.restart();
      for (let i = 0; i < 20; i++) {
        append(10);
        await Bun.sleep(0);
      }
      await restarted;
      append(100);
      await broker.waitFor("restarts", written, { timeoutMs: 15_000 });
    }
    process.kill(-(shipper.process.pid ?? 0), "SIGTERM");
    await shipper.ended;
    expect(values(await broker.read("restarts"))).toEqual(numbered(0, written));
  }, 60_000);
});

test("a line whose answer was lost is sent again and written once", async () => {
  await using broker = await startBroker();
  let answers = 0;
  // Between produce and the broker: the second answer is there, the line is written, and nobody hears of it.
  const wire = createServer((client) => {
    const node = connect(broker.port, "127.0.0.1");
    client.on("data", (chunk) => node.write(chunk));
    client.on("error", () => node.destroy());
    client.on("close", () => node.destroy());
    node.on("data", (chunk) => {
      if (++answers === 2) client.destroy();
      else client.write(chunk);
    });
  });
  await new Promise<void>((resolve) => void wire.listen(0, "127.0.0.1", resolve));
  const { port } = wire.address() as AddressInfo;
  async function* input() {
    for (const line of numbered(0, 3)) yield Buffer.from(`${line}\n`);
  }
  const args = ["produce", "lost", "--url", `http://127.0.0.1:${port}`];
  const ran = await runArgs(args, { input: input() });
  wire.close();
  expect(ran.code).toBe(0);
  expect(answers).toBe(4);
  expect(values(await broker.read("lost"))).toEqual(numbered(0, 3));
});

/** produce alone, its input a pipe that stays open. */
async function started(broker: TestBroker, input: string) {
  const command = [process.execPath, main, "produce", "t", "--url", broker.url];
  const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  await child.stdin.write(input);
  await child.stdin.flush();
  return child;
}

describe("rivulet produce that is told to stop", () => {
  test("writes the whole lines that are there, not an unfinished one, and leaves with the signal's code", async () => {
    await using broker = await startBroker();
    await using child = await started(broker, "one\ntwo\nthr");
    await broker.waitFor("t", 2);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
    expect(await new Response(child.stderr).text()).toContain("2 records were written");
    expect(values(await broker.read("t"))).toEqual(["one", "two"]);
  }, 20_000);

  test("names the lines that it could not write when the node is away", async () => {
    const broker = await startBroker();
    await using child = await started(broker, "one\n");
    await broker.waitFor("t", 1);
    await broker[Symbol.asyncDispose]();
    await child.stdin.write("two\n");
    await child.stdin.flush();
    const words = child.stderr.getReader();
    let err = Buffer.from((await words.read()).value ?? []).toString();
    expect(err).toContain("trying again");
    child.kill("SIGINT");
    for (;;) {
      const { done, value } = await words.read();
      if (done) break;
      err += Buffer.from(value).toString();
    }
    expect(err).toContain("Line 2 may not have been written");
    expect(err).toContain("1 record was written before that");
    expect(await child.exited).toBe(1);
  }, 20_000);
});

async function* chunks(...texts: readonly string[]) {
  for (const text of texts) yield Buffer.from(text);
  await new Promise(() => undefined);
}

async function* endless() {
  for (;;) yield Buffer.alloc(64 * 1024);
}

describe("an input that a signal ends", () => {
  test("still gives what is there", async () => {
    const controller = new AbortController();
    controller.abort();
    const taken: string[] = [];
    const reading = async () => {
      for await (const chunk of interruptibleInput(
        chunks("a", "b"),
        controller.signal,
        systemWorld,
      ))
        taken.push(Buffer.from(chunk).toString());
    };
    expect(await reading().catch((fault: unknown) => fault)).toBeInstanceOf(Interrupted);
    expect(taken).toEqual(["a", "b"]);
  });

  test("gives no more than 1 MiB of what goes on coming", async () => {
    const controller = new AbortController();
    controller.abort();
    let bytes = 0;
    const reading = async () => {
      for await (const chunk of interruptibleInput(endless(), controller.signal, systemWorld))
        bytes += chunk.length;
    };
    expect(await reading().catch((fault: unknown) => fault)).toBeInstanceOf(Interrupted);
    expect(bytes).toBe(1024 * 1024);
  });

  test("without a signal is passed on to its end", async () => {
    const { signal } = new AbortController();
    const input = (async function* () {
      yield Buffer.from("a");
    })();
    const taken = await Array.fromAsync(interruptibleInput(input, signal, systemWorld));
    expect(taken.map(String)).toEqual(["a"]);
  });
});
