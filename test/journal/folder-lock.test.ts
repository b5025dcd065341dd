// A folder has one holder; kill -9 frees it; the next one is told who holds it.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockFolder } from "../../src/journal/folder-lock.ts";

// Real files and processes on a machine that others use too.
setDefaultTimeout(20_000);

const root = mkdtempSync(join(tmpdir(), "rivulet-lock-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const holder = `
  import { lockFolder } from ${JSON.stringify(join(import.meta.dir, "../../src/journal/folder-lock.ts"))};
  const held = lockFolder(process.argv[process.argv.length - 1]);
  globalThis.held = held;
  held.lock.announce({ pid: process.pid, url: "http://127.0.0.1:7480", startedAt: 5 });
  console.log("held");
  setInterval(() => undefined, 1000);
`;

test("a second holder in the same process is told who holds the folder", () => {
  const dir = join(root, "same");
  const first = lockFolder(dir);
  if (!("lock" in first)) throw new Error("expected a lock");
  expect(lockFolder(dir)).toEqual({ heldBy: null });
  const owner = { pid: 12, url: "http://127.0.0.1:1", startedAt: 34 };
  first.lock.announce(owner);
  expect(lockFolder(dir)).toEqual({ heldBy: owner });
  first.lock.release();
  const second = lockFolder(dir);
  expect("lock" in second).toBe(true);
  if ("lock" in second) second.lock.release();
});

test("a folder that cannot be made says why", () => {
  const file = join(root, "file");
  writeFileSync(file, "");
  expect(() => lockFolder(join(file, "below"))).toThrow(
    `Cannot make the data folder ${join(file, "below")}: ENOTDIR`,
  );
});

// Root may write anywhere.
test.skipIf(process.getuid?.() === 0)("a folder that cannot be written says so", () => {
  const dir = join(root, "closed");
  mkdirSync(dir, { mode: 0o500 });
  expect(() => lockFolder(dir)).toThrow(`Cannot write to the data folder ${dir}: EACCES`);
});

test("a killed holder lets the folder go", async () => {
  const dir = join(root, "killed");
  const child = Bun.spawn([process.execPath, "-e", holder, dir], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("held\n");
  expect(lockFolder(dir)).toEqual({
    heldBy: { pid: child.pid, url: "http://127.0.0.1:7480", startedAt: 5 },
  });
  child.kill("SIGKILL");
  await child.exited;
  const next = lockFolder(dir);
  expect("lock" in next).toBe(true);
  if ("lock" in next) next.lock.release();
});
