// The same door on the second runtime, asked over a socket; answers are held against the same document.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { limits } from "../../src/limits.ts";
import { checkAnswer } from "./conformance.ts";
import { EventReader } from "./events.ts";

const root = join(import.meta.dirname, "../..");
let child: Bun.Subprocess<"pipe", "pipe", "inherit">;
let url = "";

beforeAll(async () => {
  const script = join(import.meta.dirname, "deno-door.ts");
  child = Bun.spawn([join(root, "node_modules/.bin/deno"), "run", "-A", "--no-lock", script], {
    cwd: root,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  url = new TextDecoder().decode(value).trim();
}, 60_000);

afterAll(async () => {
  await child.stdin.end();
  expect(await child.exited).toBe(0);
}, 20_000);

async function ask(
  line: string,
  init: RequestInit = {},
): Promise<{ status: number; text: string }> {
  const [method = "", path = ""] = line.split(" ");
  const response = await fetch(url + path, { method, ...init });
  const text = await response.text();
  const contentType = response.headers.get("content-type") ?? "";
  checkAnswer({ method, path }, { status: response.status, contentType, text });
  return { status: response.status, text };
}

const json = (body: unknown) => ({
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

describe("on Deno", () => {
  test("topics are made, records written, read and tailed", async () => {
    expect((await ask("POST /v1/topics", json({ name: "t", partitions: 2 }))).status).toBe(201);
    const tail = new EventReader(await fetch(`${url}/v1/topics/t/tail`));
    expect((await tail.next())?.type).toBe("checkpoint");
    const written = await ask(
      "POST /v1/topics/t/records",
      json({ records: [{ key: "k", value: "héllo" }] }),
    );
    expect(written.status).toBe(200);
    expect((await tail.record()).json["value"]).toBe("héllo");
    const binary = {
      headers: { "content-type": "application/octet-stream" },
      body: Uint8Array.of(255, 0),
    };
    expect((await ask("POST /v1/topics/t/records", binary)).status).toBe(200);
    expect((await tail.record()).json["valueBase64"]).toBe("/wA=");
    await tail.cancel();
    const read = await ask("GET /v1/topics/t/records");
    expect((JSON.parse(read.text) as { records: unknown[] }).records).toHaveLength(2);
  });

  test("a long poll returns on the first record", async () => {
    const waiting = ask("GET /v1/topics/t/records?from=latest&waitMs=20000");
    await ask("POST /v1/topics/t/records", json({ records: [{ value: "now" }] }));
    expect((await waiting).text).toContain('"value":"now"');
  });

  test("what is refused is a problem", async () => {
    expect((await ask("GET /nowhere")).status).toBe(404);
    expect((await ask("GET /v1/topics/%ff/records")).status).toBe(400);
    expect((await ask("GET /livez", { headers: { origin: "https://evil.example" } })).status).toBe(
      403,
    );
    const body = new Uint8Array(limits.requestBodyBytesMax + 1);
    const init = { headers: { "content-type": "application/octet-stream" }, body };
    expect((await ask("POST /v1/topics/t/records", init)).status).toBe(413);
  });

  test("lines go in and come out, bodies and answers are coded", async () => {
    const lines = '{"value":"one"}\n{"value":"two","key":"k"}\nnonsense\n';
    const type = { "content-type": "application/x-ndjson" };
    const told = await ask("POST /v1/topics/lines/records", { headers: type, body: lines });
    expect([told.status, told.text.trimEnd().split("\n").length]).toEqual([200, 3]);
    for (const [encoding, compress] of [
      ["gzip", gzipSync],
      ["zstd", zstdCompressSync],
    ] as const) {
      for (const headers of [
        { ...type, "content-encoding": encoding },
        { ...json({}).headers, "content-encoding": encoding },
      ]) {
        const isLines = headers["content-type"] === type["content-type"];
        const record = JSON.stringify({ value: "x".repeat(100_000), key: encoding });
        const body = compress(isLines ? `${record}\n` : `{"records":[${record}]}`);
        const answer = await ask("POST /v1/topics/lines/records", { headers, body });
        expect([encoding, isLines, answer.status]).toEqual([encoding, isLines, 200]);
      }
      for (const accept of ["application/json", "application/x-ndjson"]) {
        const headers = { accept, "accept-encoding": encoding };
        const path = `${url}/v1/topics/lines/records?key=${encoding}`;
        const coded = await fetch(path, { headers });
        expect(coded.headers.get("content-encoding")).toBe(encoding);
        expect((await coded.text()).length).toBeGreaterThan(200_000);
      }
    }
    const bomb = gzipSync(Buffer.alloc(limits.decodedBytesMax + 1));
    const headers = { ...json({}).headers, "content-encoding": "gzip" };
    expect((await ask("POST /v1/topics/lines/records", { headers, body: bomb })).status).toBe(413);
  });

  test("metrics, limits, readiness and the document are answered", async () => {
    for (const path of ["/metrics", "/v1/limits", "/readyz", "/v1/openapi.json", "/docs"]) {
      expect((await ask(`GET ${path}`)).status).toBe(200);
    }
  });
});
