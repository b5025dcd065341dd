// A node's transport in a process of its own, on Bun or Deno, driven by lines of JSON on its standard input.
//
//   argv[2]   JSON: {nodeId, clusterId?, secret?, tls?, protocol?, bootId?}
//   in        {"peers": Peer[]}   {"send": {id, to, lane, count, size}}   {"stats": true}
//   out       {"address": {host, port}, "pid": number}   {"event": "up 2"}   {"sent": id}   {"stats": {...}}
//
// Packets carry their number as head; what arrives is checked for order and samples of its bytes.

import { int32At, putInt32 } from "../../src/bytes/big-endian.ts";
import { createHttp2Transport } from "../../src/transport/http2-transport.ts";
import type { InPacket, Lane, Peer } from "../../src/transport/transport.ts";
import { systemWorld } from "../../src/world.ts";

interface Command {
  readonly peers?: readonly Peer[];
  readonly send?: { id: number; to: number; lane: Lane; count: number; size: number };
  readonly stats?: true;
}

const stats = { packets: 0, bytes: 0, wrong: 0 };
const next = new Map<string, number>();

const given = JSON.parse(process.argv[2]) as { nodeId: number };
const transport = createHttp2Transport({
  world: systemWorld,
  clusterId: "c",
  bootId: `boot-${process.pid}`,
  listen: { host: "127.0.0.1", port: 0 },
  log: { write: (level, message, fields) => tell({ log: { level, message, fields } }) },
  ...given,
});
await transport.open({
  onPacket: received,
  onUp: (node) => tell({ event: `up ${node}` }),
  onBroken: (node, lane) => tell({ event: `broken ${node} ${lane}` }),
  onDown: (node) => tell({ event: `down ${node}` }),
});
tell({ address: transport.address, pid: process.pid });

let text = "";
for await (const chunk of process.stdin) {
  text += String(chunk);
  const lines = text.split("\n");
  text = lines.pop() ?? "";
  for (const line of lines) obey(JSON.parse(line) as Command);
}
await transport.close();

function obey({ peers, send, stats: wanted }: Command): void {
  if (peers !== undefined) transport.setPeers(peers);
  if (send !== undefined) void sendAll(send);
  if (wanted === true) tell({ stats: { ...stats, ...process.cpuUsage() } });
}

async function sendAll({ id, to, lane, count, size }: NonNullable<Command["send"]>): Promise<void> {
  // In shared memory, as records lie in the slabs.
  const body = [new Uint8Array(new SharedArrayBuffer(size)).fill(7)];
  for (let n = 0; n < count;) {
    const head = new Uint8Array(4);
    putInt32(head, 0, n);
    if (transport.send(to, lane, { head, body })) n += 1;
    else await new Promise<void>((resolve) => setTimeout(resolve, 1));
  }
  tell({ sent: id });
}

function received({ from, lane, head, body }: InPacket): void {
  const key = `${from} ${lane}`;
  const expected = next.get(key) ?? 0;
  const last = body.length - 1;
  const isRight =
    int32At(head, 0) === expected &&
    (last < 0 || (body[0] === 7 && body[last] === 7 && body[last >> 1] === 7));
  next.set(key, expected + 1);
  stats.packets += 1;
  stats.bytes += body.length;
  if (!isRight) stats.wrong += 1;
}

function tell(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
