// The door on Deno: started by deno.test.ts, which asks it over a socket. Prints its URL, stops when its input ends.

import process from "node:process";
import { createBroker } from "../../src/broker/create-broker.ts";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { createReplicaHost } from "../../src/consensus/host.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { systemWorld as world } from "../../src/world.ts";
import { createDoor } from "../../edge/server/door.ts";
import { serve } from "../../edge/serve.ts";

const slabs = createSlabPool();
const journal = await openJournal({ world, disk: createMemoryDisk(), slabs });
const host = createReplicaHost({ world, journal, nodeId: 1 });
const options = { nodeId: 1, version: "0.1.0" };
const broker = await createBroker({ world, journal, host, slabs, options });
const door = createDoor({ broker, slabs, world });
const served = await serve({ door, host: "127.0.0.1", port: 0 });
console.log(served.url);
process.stdin.resume();
process.stdin.on("end", () => {
  void (async () => {
    await served.stop({ graceMs: 1_000 });
    await broker.close();
    process.exit(0);
  })();
});
