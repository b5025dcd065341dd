// The door on real sockets: what only a connection can do wrong. Each case is bounded by its own time limit.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { serve, type Served } from "../../edge/serve.ts";
import { limits } from "../../src/limits.ts";
import { EventReader } from "./events.ts";
import { openDoor, type DoorUnderTest } from "./harness.ts";
import { Line } from "./line.ts";

let node: DoorUnderTest;
let served: Served;
const lines: Line[] = [];

beforeEach(async () => {
  node = await openDoor();
  await node.ask("POST /v1/topics", { name: "t", partitions: 1 });
  served = await serve({ door: node.door, host: "127.0.0.1", port: 0 });
});

afterEach(async () => {
  for (const { socket } of lines.splice(0)) socket.destroy();
  await served.stop({ graceMs: 1_000 });
  await node.close();
});

const newLine = (): Line => {
  const line = new Line(served.port);
  lines.push(line);
  return line;
};

const post = (body: string, more = ""): string =>
  `POST /v1/topics/t/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${more}\r\n${body}`;
const body = '{"records":[{"value":"a"}]}';
const highWatermark = (): number => {
  const bounds = node.broker.bounds("t");
  return "ok" in bounds ? -1 : bounds[0].highWatermark;
};

describe("a connection", () => {
  test("is kept for the next request, also after a refusal", async () => {
    const line = newLine();
    for (const [sent, wanted] of [
      [post(body, `Content-Length: ${body.length}\r\n`), "200 OK"],
      [post("{}", "Content-Length: 2\r\n"), "400 Bad Request"],
      [post(body, `Content-Length: ${body.length}\r\n`), "200 OK"],
    ] as const) {
      line.text = "";
      line.send(sent);
      expect(await line.answer()).toContain(`HTTP/1.1 ${wanted}`);
      expect(line.closed).toBe(false);
    }
    expect(highWatermark()).toBe(2);
  });

  test("that breaks off in the middle of a body has applied nothing", async () => {
    const heads = ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"];
    for (const [i, head] of heads.entries()) {
      const line = newLine();
      await once(line.socket, "connect");
      const part = head.startsWith("C") ? body : `1b\r\n${body}\r\n`;
      line.send(post(part, head));
      await untilMetric(`route="writeRecords",status="400"} ${i + 1}`, () => line.socket.destroy());
    }
    expect(highWatermark()).toBe(0);
  });

  test("whose chunked body outgrows the limit is answered 413 and closed", async () => {
    const line = newLine();
    line.send(post("", "Transfer-Encoding: chunked\r\n"));
    const chunk = "x".repeat(1 << 20);
    for (let i = 0; i < 20 && !line.closed; i++) line.send(`100000\r\n${chunk}\r\n`);
    await line.until(() => line.text.includes("\r\n\r\n"));
    expect(line.text).toContain("HTTP/1.1 413");
    await line.until(() => line.closed);
  });

  test("whose body does not come in time is answered 408 and closed", async () => {
    const line = newLine();
    line.send(post(body, "Content-Length: 1000\r\n"));
    while (line.text === "") {
      node.world.advance(limits.bodyMsMax / 10);
      await turn();
    }
    expect(await line.answer()).toContain("HTTP/1.1 408");
    await line.until(() => line.closed);
    expect(highWatermark()).toBe(0);
  });

  test("that only drips its head is closed", async () => {
    const line = newLine();
    line.send("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ");
    const drip = setInterval(() => line.send("a"), 100);
    await line.until(() => line.closed);
    clearInterval(drip);
    expect(line.text).not.toContain("200");
  }, 20_000);

  test("that declares more than the limit is answered at once", async () => {
    const line = newLine();
    line.send(post("", `Content-Length: ${limits.requestBodyBytesMax + 1}\r\n`));
    expect(await line.answer()).toContain('"code":"body_too_large"');
    await line.until(() => line.closed);
  });

  test("may send heads up to the limit, and a longer one is refused", async () => {
    const line = newLine();
    line.send(`GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(40_000)}\r\n\r\n`);
    expect(await line.answer()).toContain("HTTP/1.1 200");
    const long = newLine();
    long.send(`GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(70_000)}\r\n\r\n`);
    expect(await long.answer()).toContain("HTTP/1.1 431");
  });

  test.each([
    "GET /livez HTTP/9.9\r\n\r\n",
    "\u0000\u0001\u0002\r\n\r\n",
    "GET /livez HTTP/1.1\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    post("5\r\nhello\r\n0\r\n\r\n", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
    post("zz\r\nhello\r\n", "Transfer-Encoding: chunked\r\n"),
  ])("that speaks no HTTP is refused and the node goes on (%#)", async (text) => {
    const line = newLine();
    line.send(text);
    const answer = await line.answer();
    expect(answer === "" || /^HTTP\/1\.1 [45]/.test(answer)).toBe(true);
    expect((await fetch(`${served.url}/livez`)).status).toBe(200);
    expect(highWatermark()).toBe(0);
  });
});

describe("a tail over a socket", () => {
  test("frees what it holds when the reader leaves", async () => {
    const caller = new AbortController();
    const response = await fetch(`${served.url}/v1/topics/t/tail`, { signal: caller.signal });
    await new EventReader(response).next();
    expect(await metric("rivulet_http_waiting")).toBe(1);
    caller.abort();
    await untilMetric("rivulet_http_waiting 0");
  });

  test("that is never read costs no more than its buffers, and the others go on", async () => {
    const line = newLine();
    await once(line.socket, "connect");
    line.socket.pause();
    line.send("GET /v1/topics/t/tail?from=earliest HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const value = "x".repeat(500_000);
    const writes = 40;
    for (let i = 0; i < writes; i++) {
      await node.ask("POST /v1/topics/t/records", { records: [{ value }] });
    }
    // The kernel's socket buffers take a few MB; the rest stays in the log.
    expect(await metric("rivulet_http_records_tailed_total")).toBeLessThan(writes / 2);
    const { status } = await fetch(`${served.url}/v1/topics/t/records?last=1`);
    expect(status).toBe(200);
  });
});

test("stop() ends tails and long polls and frees the port", async () => {
  const events = new EventReader(await fetch(`${served.url}/v1/topics/t/tail`));
  await events.next();
  const poll = fetch(`${served.url}/v1/topics/t/records?from=latest&waitMs=30000`);
  await untilMetric("rivulet_fetch_waiters 1");
  await served.stop({ graceMs: 5_000 });
  expect(await events.next()).toBeNull();
  expect((await poll).status).toBe(200);
  expect(await fetch(`${served.url}/livez`).catch(() => "refused")).toBe("refused");
});

test("a port that is taken is told by its code", async () => {
  const other = serve({ door: node.door, host: "127.0.0.1", port: served.port });
  expect(await other.catch((fault: { code: string }) => fault.code)).toBe("EADDRINUSE");
});

async function page(): Promise<string> {
  return (await node.ask("GET /metrics")).text;
}

async function metric(name: string): Promise<number> {
  const line = (await page()).split("\n").find((one) => one.startsWith(`${name} `));
  return Number(line?.split(" ")[1]);
}

/** Asks until the page has the text; the test's own time limit bounds it. */
async function untilMetric(text: string, meanwhile: () => void = () => undefined): Promise<void> {
  while (!(await page()).includes(text)) {
    await turn();
    meanwhile();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
