// The disk, the folder lock and verify on Deno, in a process of their own: the same answers as on Bun.

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const deno = join(root, "node_modules/.bin/deno");
const script = join(import.meta.dir, "deno-disk.ts");

async function outcome(command: string[]): Promise<unknown> {
  const child = Bun.spawn(command, { cwd: root, stdout: "pipe", stderr: "pipe" });
  const [text, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(errors);
  return JSON.parse(text);
}

test("the disk answers the same on Deno as on Bun", async () => {
  const onBun = await outcome([process.execPath, script]);
  expect(onBun).toMatchObject({
    cleanStop: true,
    damage: [],
    entries: ["1/21"],
    verified: [22, []],
  });
  if (!existsSync(deno)) {
    console.log("skipped: Deno is not installed");
    return;
  }
  expect(await outcome([deno, "run", "-A", "--no-lock", script])).toEqual(onBun);
}, 20_000);
