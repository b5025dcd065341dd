// The same records on Deno: native checksum, shared memory, codecs.

import { expect, test } from "bun:test";

const root = new URL("../..", import.meta.url).pathname;

test("records are built, validated, stamped and read on Deno as on Bun", async () => {
  const script = "test/records/deno-records.ts";
  const deno = Bun.spawn([`${root}/node_modules/.bin/deno`, "run", "-A", "--no-lock", script], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors] = await Promise.all([
    new Response(deno.stdout).text(),
    new Response(deno.stderr).text(),
  ]);
  expect([await deno.exited, errors.includes("error")], errors).toEqual([0, false]);
  const batch = { valid: true, same: true, first: 2 ** 40, crc: true };
  expect(JSON.parse(out)).toEqual({
    batches: ["none", "gzip", "zstd"].map((codec) => ({ codec, ...batch })),
    bomb: "message_too_large",
    cut: "invalid_record",
    text: ["\ufeffa", null, "a"],
    twoFrames: true,
  });
}, 20_000);
