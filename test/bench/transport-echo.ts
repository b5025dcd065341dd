// The other node of the transport's bench: answers each packet on the same lane by its head alone. On Bun or Deno.
//
// Beside it a bare stream, for what the runtime's HTTP/2 alone takes: it answers how many bytes came, every 16 KiB.
//
//   argv[2]   JSON: {tls, peer}        out   JSON: its own address, and the port of the bare stream

import { putInt64 } from "../../src/bytes/big-endian.ts";
import { createHttp2Transport } from "../../src/transport/http2-transport.ts";
import type { PeerTls } from "../../src/transport/peer-auth.ts";
import { servePeers } from "../../src/transport/peer-server.ts";
import type { Peer } from "../../src/transport/transport.ts";
import { systemWorld } from "../../src/world.ts";

/** One packet of the bare stream. */
const bareBytes = 16_384;

const { tls, peer } = JSON.parse(process.argv[2]) as { tls: PeerTls | null; peer: Peer };
const transport = createHttp2Transport({
  world: systemWorld,
  nodeId: 2,
  clusterId: "bench",
  bootId: String(process.pid),
  listen: { host: "127.0.0.1", port: 0 },
  tls,
  log: { write: () => undefined },
});
await transport.open({
  onPacket: ({ from, lane, head }) =>
    void transport.send(from, lane, { head: new Uint8Array(head), body: [] }),
  onUp: () => undefined,
  onBroken: () => undefined,
  onDown: () => process.exit(0),
});
transport.setPeers([peer]);
const bare = servePeers({ host: "127.0.0.1", port: 0, tls, fetch: count });
const told = { ...transport.address, pid: process.pid, barePort: bare.port };
process.stdout.write(`${JSON.stringify(told)}\n`);

function count(request: Request): Promise<Response> {
  let counts: ReadableStreamDefaultController<Uint8Array>;
  const answer = new ReadableStream<Uint8Array>({
    start(controller) {
      counts = controller;
      controller.enqueue(new Uint8Array(8));
    },
  });
  const reader = (request.body as ReadableStream<Uint8Array>).getReader();
  let bytes = 0;
  let told = 0;
  const read = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.length;
      if (bytes - told < bareBytes) continue;
      told = bytes - (bytes % bareBytes);
      const number = new Uint8Array(8);
      putInt64(number, 0, told);
      counts.enqueue(number);
    }
  };
  void read().catch(() => undefined);
  return Promise.resolve(new Response(answer));
}
