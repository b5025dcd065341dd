// What the network between two nodes does to their lanes: a proxy stands for it.

import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:http2";
import type { Http2TransportOptions } from "../../src/transport/http2-transport.ts";
import { servePeers } from "../../src/transport/peer-server.ts";
import { lanes } from "../../src/transport/transport.ts";
import { until } from "../broker/virtual-world.ts";
import { addressed, pattern } from "./conformance.ts";
import { type LoggedMember, startNode } from "./http2-nodes.ts";
import { Proxy } from "./proxy.ts";
import { textPacket } from "./recorder.ts";

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

interface Setup {
  readonly a: LoggedMember;
  readonly b: LoggedMember;
  /** Between node 1 and node 2's port. */
  readonly proxy: Proxy;
}

/** Node 1 reaches node 2 through a proxy; node 2 reaches node 1 directly, when `back`. */
async function throughProxy(
  options: Partial<Http2TransportOptions>,
  { back, onlyHttp1 = false }: { readonly back: boolean; readonly onlyHttp1?: boolean },
): Promise<Setup> {
  const [a, b] = [await startNode(1, options), await startNode(2, options)];
  const proxy = await Proxy.to(b.transport.address.port);
  proxy.onlyHttp1 = onlyHttp1;
  ends.push(
    () => a.transport.close(),
    () => b.transport.close(),
    () => proxy.close(),
  );
  a.transport.setPeers([{ nodeId: 2, ...proxy.address }]);
  if (back) b.transport.setPeers([addressed(a)]);
  await until(() => a.told.events.includes("up 2"), "node 2 to be up");
  if (back) await until(() => b.told.events.includes("up 1"), "node 1 to be up");
  return { a, b, proxy };
}

const quick = { stallMs: 600, pingMs: 100, backOffMsMin: 20 };

describe("lanes through a network that", () => {
  test("falls silent are broken by the watchdog, and there again when it speaks", async () => {
    const { a, b, proxy } = await throughProxy({ pace: quick }, { back: false });
    proxy.pause();
    a.transport.send(2, "append", textPacket("swallowed"));
    await until(() => a.transport.links()[0].appendStalledMs > 100, "the stall to show");
    await until(() => a.told.events.includes("down 2"), "the lanes to be broken");
    expect(a.told.events.slice(1).sort()).toEqual(
      [...lanes.map((lane) => `broken 2 ${lane}`), "down 2"].sort(),
    );
    expect(a.lines.map(({ fields }) => fields["code"])).toContain("request_timed_out");
    proxy.resume();
    await until(() => a.told.events.at(-1) === "up 2", "node 2 to be up again");
    a.transport.send(2, "append", textPacket("heard"));
    await until(() => b.told.heads().includes("heard"), "the packet");
  });

  test("keeps the end of a process from its peer are broken when the next process shows itself", async () => {
    const { a, b, proxy } = await throughProxy({}, { back: false });
    proxy.pause();
    const next = await startNode(2);
    ends.push(() => next.transport.close());
    next.transport.setPeers([addressed(a)]);
    await until(() => a.told.events.length >= 5, "the lanes to the former process to be broken");
    expect(a.told.events.slice(0, 5).sort()).toEqual(
      ["up 2", ...lanes.map((lane) => `broken 2 ${lane}`)].sort(),
    );
    // Not by the watchdog, which would take seconds.
    expect(a.lines.map(({ fields }) => fields["code"])).toContain("replaced_process");
    await b.transport.close();
  });

  test("lost a node for long are there again as soon as it shows itself", async () => {
    // The next attempt would be in ten minutes.
    const pace = { ...quick, backOffMsMin: 600_000, backOffMsMax: 600_000 };
    const { a, b, proxy } = await throughProxy({ pace }, { back: false });
    await proxy.close();
    await until(() => a.told.events.includes("down 2"), "node 2 to be down");
    const again = await Proxy.to(b.transport.address.port, proxy.port);
    ends.push(() => again.close());
    b.transport.setPeers([addressed(a)]);
    await until(() => a.told.events.at(-1) === "up 2", "node 2 to be up again");
  });

  test("is idle stay open: pings are acknowledged", async () => {
    const { a, b } = await throughProxy(
      { pace: { ...quick, stallMs: 300, pingMs: 1 } },
      { back: true },
    );
    const startedAt = performance.now();
    // Several rounds of the watchdog.
    await until(() => performance.now() - startedAt > 1_600, "some idle time");
    expect([a.told.events, b.told.events]).toEqual([["up 2"], ["up 1"]]);
  });

  test("resets connections: what is broken is told, and one way open is not down", async () => {
    const { a, proxy } = await throughProxy({ pace: quick }, { back: true });
    proxy.cut();
    await until(() => a.told.events.length >= 6, "node 2 to be up again");
    expect(a.told.events[0]).toBe("up 2");
    expect(a.told.events.slice(1, 5).sort()).toEqual(
      lanes.map((lane) => `broken 2 ${lane}`).sort(),
    );
    expect(a.told.events.slice(5)).toEqual(["up 2"]);
  });

  test("knows HTTP/1.1 alone carry packets all the same, by HTTP/2 again when that gets through", async () => {
    const pace = { ...quick, probeMs: 100 };
    const { a, b, proxy } = await throughProxy({ pace }, { back: false, onlyHttp1: true });
    const body = [pattern(700_000)];
    for (let i = 0; i < 10; i += 1) a.transport.send(2, "bulk", textPacket(String(i), body));
    a.transport.send(2, "control", textPacket("beat"));
    await until(() => b.told.packets.length === 11, "the packets");
    expect(b.told.heads("bulk")).toEqual(Array.from({ length: 10 }, (_, i) => String(i)));
    const protocols = () => a.lines.map(({ fields }) => fields["protocol"]);
    expect(protocols()).not.toContain("HTTP/2");
    proxy.onlyHttp1 = false;
    await until(() => protocols().includes("HTTP/2"), "HTTP/2");
    await b.transport.close();
    a.transport.send(2, "control", textPacket("x"));
    await until(() => a.told.events.includes("down 2"), "node 2 to be down");
  });
});

describe("a peer port on Bun", () => {
  test("keeps lanes on which nothing moves, and no other connection", async () => {
    const server = servePeers({
      host: "127.0.0.1",
      port: 0,
      tls: null,
      idleSeconds: 1,
      fetch: () =>
        Promise.resolve(
          new Response(new ReadableStream({ start: (acks) => acks.enqueue(Buffer.of(1)) })),
        ),
    });
    ends.push(() => server.stop());
    const ended: string[] = [];
    for (const path of ["/peer/v1/hello", "/peer/v1/lanes/bulk"]) {
      const session = connect(`http://127.0.0.1:${server.port}`);
      session.on("close", () => ended.push(path));
      session.on("error", () => undefined);
      const stream = session.request({ ":method": "POST", ":path": path });
      stream.on("error", () => undefined);
      stream.write("x");
      ends.push(() => Promise.resolve(session.destroy()));
    }
    await until(() => ended.length > 0, "the idle connection to be closed");
    expect(ended).toEqual(["/peer/v1/hello"]);
  });
});

describe("Bun and node:http2 still", () => {
  test("end a request's body at once when its client is gone", async () => {
    let ended = "";
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      http2: true,
      async fetch(request) {
        const reader = request.body!.getReader() as ReadableStreamDefaultReader<Uint8Array>;
        await reader.read();
        void reader.read().then(
          ({ done }) => void (ended = `done ${done}`),
          () => void (ended = "failed"),
        );
        return new Response("got it");
      },
    });
    ends.push(() => server.stop(true));
    const session = connect(`http://127.0.0.1:${server.port}`);
    const stream = session.request({ ":method": "POST", ":path": "/" });
    stream.write("x");
    await new Promise((resolve) => stream.once("response", resolve));
    session.destroy();
    await until(() => ended !== "", "the body to end");
  });
});
