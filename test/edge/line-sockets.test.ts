// NDJSON in over real sockets: callers who never read their receipts, and callers who say nothing.
//
// `bun test/bench/run.ts --only unread-lines` does the same with six million lines, a node of its own and the real clock.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { once } from "node:events";
import { serve, type Served } from "../../edge/serve.ts";
import { limits } from "../../src/limits.ts";
import { openDoor, type DoorUnderTest } from "./harness.ts";
import { Line } from "./line.ts";

let node: DoorUnderTest;
let served: Served;
let line: Line;

beforeEach(async () => {
  node = await openDoor();
  await node.ask("POST /v1/topics", { name: "t", partitions: 1 });
  served = await serve({ door: node.door, host: "127.0.0.1", port: 0 });
  line = new Line(served.port);
  await once(line.socket, "connect");
});

afterEach(async () => {
  line.socket.destroy();
  await served.stop({ graceMs: 1_000 });
  await node.close();
});

const head =
  "POST /v1/topics/t/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
const chunkOf = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const lastLine = /"code":"(\w+)".*"line":(\d+)\}\n/;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function written(): number {
  const bounds = node.broker.bounds("t");
  return "ok" in bounds ? -1 : bounds[0].highWatermark;
}

/** Time passes in steps until the condition holds; the test's own time limit bounds it. */
async function asTimePasses(holds: () => boolean): Promise<void> {
  while (!holds()) {
    node.world.advance(limits.bodyMsMax / 10);
    await turn();
  }
}

test("one that never reads its receipts is held back, takes no memory, and is ended", async () => {
  const lineCount = 300_000;
  const perChunk = 1_000;
  const chunk = chunkOf(`{"value":"${"x".repeat(400)}"}\n`.repeat(perChunk));
  const before = process.memoryUsage().rss;
  line.socket.pause();
  line.send(head);
  let sent = 0;
  // The connection takes chunks as long as the door reads; then, for many turns, neither moves.
  for (let idle = 0, known = 0; idle < 300; idle++) {
    await turn();
    if (line.socket.writableLength < chunk.length && sent < lineCount) {
      line.send(chunk);
      sent += perChunk;
      idle = 0;
    }
    if (written() > known) [known, idle] = [written(), 0];
  }
  expect(sent).toBeLessThan(lineCount);
  expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
  node.world.advance(limits.receiptsWaitMsMax + 2_000);
  await turn();
  line.socket.resume();
  await line.until(() => lastLine.test(line.text));
  expect(lastLine.exec(line.text)?.slice(1)).toEqual(["receipts_not_read", `${written() + 1}`]);
  expect((await fetch(`${served.url}/livez`)).status).toBe(200);
}, 30_000);

test("one that says nothing is answered 408, one that falls silent by its last line", async () => {
  line.send(head);
  await asTimePasses(() => line.text !== "");
  expect(line.text).toContain("HTTP/1.1 408");
  const other = new Line(served.port);
  other.send(head + chunkOf('{"value":"a"}\n{"value":"b"}\n{"val'));
  await other.until(() => other.text.includes('"offset":1'));
  await asTimePasses(() => lastLine.test(other.text));
  expect(lastLine.exec(other.text)?.slice(1)).toEqual(["request_body_timeout", "3"]);
  expect(written()).toBe(2);
  other.socket.destroy();
}, 20_000);
