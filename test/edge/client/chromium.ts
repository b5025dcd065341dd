// Debian's Chromium without a window, where it is installed: pages of a test, and pictures of them.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const path = "/usr/bin/chromium";

export const chromiumThere = existsSync(path);

/** Opens a page until `done` settles; the browser and its profile are gone then. */
export async function withPage<T>(url: string, done: Promise<T>): Promise<T> {
  const profile = mkdtempSync(join(tmpdir(), "rivulet-chromium-"));
  const child = start(profile, [url]);
  try {
    const died = child.exited.then((code): never => {
      throw new Error(`Chromium ended with ${code} before the page was done`);
    });
    return await Promise.race([done, died]);
  } finally {
    await stop(child, profile);
  }
}

/** A picture of the page as it is when nothing happened for a while, at most waitMs later. */
export async function picture(url: string, file: string, waitMs: number): Promise<void> {
  const profile = mkdtempSync(join(tmpdir(), "rivulet-chromium-"));
  const child = start(profile, [`--screenshot=${file}`, `--timeout=${waitMs}`, url]);
  try {
    await child.exited;
  } finally {
    await stop(child, profile);
  }
}

function start(profile: string, args: readonly string[]) {
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
  const quiet = ["--no-first-run", "--disable-extensions", "--disable-background-networking"];
  const size = ["--window-size=900,600", `--user-data-dir=${profile}`];
  return Bun.spawn([path, ...flags, ...quiet, ...size, ...args], {
    stdio: ["ignore", "ignore", "ignore"],
  });
}

async function stop(child: Bun.Subprocess, profile: string): Promise<void> {
  child.kill("SIGTERM");
  await child.exited;
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}
