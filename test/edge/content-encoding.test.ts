// gzip and zstd on bodies that come in and answers that go out.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { answerEncoding } from "../../edge/server/content-encoding.ts";
import { limits } from "../../src/limits.ts";
import { openDoor, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;

beforeAll(async () => {
  node = await openDoor();
  await node.ask("POST /v1/topics", { name: "t", partitions: 1 });
});
afterAll(() => node.close());

const write = "POST /v1/topics/t/records";
const body = Buffer.from(JSON.stringify({ records: [{ value: "squeezed" }] }));
const codings = [
  ["gzip", gzipSync, gunzipSync],
  ["zstd", zstdCompressSync, zstdDecompressSync],
] as const;

describe("a request's body", () => {
  for (const [name, compress] of codings) {
    test(`in ${name} is decoded`, async () => {
      const headers = { "content-encoding": name };
      expect((await node.ask(write, compress(body), headers)).status).toBe(200);
      const { json } = await node.ask("GET /v1/topics/t/records?last=1");
      expect(json.records[0]?.value).toBe("squeezed");
    });

    test(`in ${name} that is cut, damaged or followed by other bytes is 400`, async () => {
      const whole = compress(body);
      const flipped = Uint8Array.from(whole, (byte, i) => (i === 1 ? byte ^ 1 : byte));
      const longer = Buffer.concat([whole, Buffer.from("more")]);
      for (const bytes of [whole.subarray(0, -5), flipped, longer, new Uint8Array(0)]) {
        const refused = await node.ask(write, bytes, { "content-encoding": name });
        expect([refused.status, refused.json.code]).toEqual([400, "invalid_request"]);
      }
    });

    test(`in ${name} that grows beyond the limit is 413, however small it came`, async () => {
      const bomb = compress(Buffer.alloc(limits.decodedBytesMax + 1));
      expect(bomb.length).toBeLessThan(100_000);
      const bombs = Array.from({ length: 6 }, () =>
        node.ask(write, new Uint8Array(bomb), { "content-encoding": name }),
      );
      for (const { status, json } of await Promise.all(bombs)) {
        expect([status, json.code]).toEqual([413, "body_too_large"]);
      }
    });
  }

  test("in another coding is 415 and says which there are", async () => {
    const refused = await node.ask(write, body, { "content-encoding": "br" });
    expect([refused.status, refused.headers.get("accept-encoding")]).toEqual([415, "zstd, gzip"]);
  });

  test("under an Idempotency-Key is the same in every coding", async () => {
    const key = { "idempotency-key": "coded" };
    const first = await node.ask(write, body, key);
    const second = await node.ask(write, gzipSync(body), { ...key, "content-encoding": "gzip" });
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(second.json.receipts).toEqual(first.json.receipts);
  });
});

describe("an answer", () => {
  test("goes out in the coding that the caller likes best", () => {
    for (const [accepted, wanted] of [
      [undefined, null],
      ["", null],
      ["gzip", "gzip"],
      ["gzip, deflate, br, zstd", "zstd"],
      ["gzip;q=1, zstd;q=0.5", "gzip"],
      ["gzip;q=0, zstd;q=0", null],
      ["*", "zstd"],
      ["*;q=0.1, identity", null],
      ["GZIP", "gzip"],
      ["br", null],
      ["gzip;q=x", null],
    ] as const) {
      expect([accepted, answerEncoding(accepted)]).toEqual([accepted, wanted]);
    }
  });

  for (const [name, , decompress] of codings) {
    test(`in ${name} is the answer, small or large`, async () => {
      await node.ask("POST /v1/topics", { name, partitions: 1 });
      for (const length of [2_000, 200_000]) {
        await node.ask(`POST /v1/topics/${name}/records`, {
          records: [{ value: "x".repeat(length) }],
        });
        const path = `GET /v1/topics/${name}/records?last=1`;
        const plain = await node.ask(path);
        const coded = await node.send(path, { headers: { "accept-encoding": name } });
        expect(coded.headers.get("content-encoding")).toBe(name);
        expect(coded.headers.get("vary")).toContain("Accept-Encoding");
        const bytes = await coded.bytes();
        expect(bytes.length).toBeLessThan(length / 2);
        expect(decompress(bytes).toString()).toBe(plain.text);
      }
    });
  }

  test("that is small, or a tail, goes out as it is", async () => {
    const headers = { "accept-encoding": "gzip" };
    expect((await node.send("GET /livez", { headers })).headers.has("content-encoding")).toBe(
      false,
    );
    const tail = await node.send("GET /v1/topics/t/tail", { headers });
    expect(tail.headers.has("content-encoding")).toBe(false);
    await tail.body?.cancel();
  });
});
