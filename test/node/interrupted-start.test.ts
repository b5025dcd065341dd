// A start that does not come to its end can be ended: SIGTERM means stop, also before the node is ready.

import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeIdentity, openIdentity } from "../../src/node/data-folder.ts";
import { startNodeProcess } from "../durability/node-process.ts";

const main = join(import.meta.dirname, "..", "..", "src", "main.ts");

test("a start that waits for a leader that never comes ends on SIGTERM", async () => {
  const data = await mkdtemp(join(tmpdir(), "rivulet-interrupted-"));
  try {
    await using node = await startNodeProcess({ data });
    await node.stop();
    // Another node's identity over this journal: nobody whom it knows can lead.
    const foreign = encodeIdentity({ ...openIdentity(data), nodeId: 2 });
    await writeFile(join(data, "identity.json"), foreign);
    const child = spawn(process.execPath, [main, "start", "--data", data, "--http", "127.0.0.1:0"]);
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    // Sent until it is heard: before the handler is there it ends the process as well.
    const nag = setInterval(() => child.kill("SIGTERM"), 400);
    const patience = setTimeout(() => child.kill("SIGKILL"), 5_000);
    const code = await ended;
    clearInterval(nag);
    clearTimeout(patience);
    expect(child.signalCode).not.toBe("SIGKILL");
    expect(code === null || code < 2).toBe(true);
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}, 20_000);
