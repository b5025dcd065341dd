// The HTTP door in a process of its own, over a real broker: `memory` or a folder as its disk. Prints its URL.
//
//   http-door.ts memory|DIR [speed]      the door's clock runs `speed` times as fast: its deadlines come sooner

import { rmSync } from "node:fs";
import process from "node:process";
import { createBroker } from "../../src/broker/create-broker.ts";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { createReplicaHost } from "../../src/consensus/host.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { systemWorld as world, type World } from "../../src/world.ts";
import { createDoor } from "../../edge/server/door.ts";
import { serve } from "../../edge/serve.ts";

const dir = process.argv[2] ?? "memory";
const slabs = createSlabPool();
const disk = dir === "memory" ? createMemoryDisk() : new LibsqlDisk({ dir, slabs, world });
const journal = await openJournal({ world, disk, slabs });
const host = createReplicaHost({ world, journal, nodeId: 1 });
const broker = await createBroker({
  world,
  journal,
  host,
  slabs,
  options: { nodeId: 1, version: "bench" },
});
const speed = Number(process.argv[3] ?? 1);
const doorWorld: World = {
  ...world,
  monotonic: () => world.monotonic() * speed,
  setTimer: (delayMs, fn) => world.setTimer(delayMs / speed, fn),
};
const door = createDoor({ broker, slabs, world: doorWorld });
const served = await serve({ door, host: "127.0.0.1", port: 0 });
console.log(served.url);

process.once("SIGTERM", () => {
  void (async () => {
    await served.stop({ graceMs: 1_000 });
    await broker.close();
    if (dir !== "memory") rmSync(dir, { recursive: true, force: true });
    process.exit(0);
  })();
});
