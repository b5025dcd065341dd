import { describe, expect, test } from "bun:test";
import { Fault } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { type CallLane, type CallsOptions, createCalls } from "../../src/transport/call-lane.ts";
import { decodeCallMessage, encodeCallMessage } from "../../src/transport/call-message.ts";
import type { CallAnswer, IncomingCall } from "../../src/transport/calls.ts";
import { MemoryNetwork } from "../../src/transport/memory-network.ts";
import type { PeerLog } from "../../src/transport/peer-log.ts";
import { settle, VirtualWorld } from "../broker/virtual-world.ts";

interface Setup {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly a: CallLane;
  readonly b: CallLane;
}

/** Nodes 1 and 2, connected. */
async function pair(options: Partial<CallsOptions> = {}): Promise<Setup> {
  const world = new VirtualWorld();
  const network = new MemoryNetwork(world, { stallMs: 1_000, reconnectMs: 50 });
  const [a, b] = [node(network, 1, options), node(network, 2, options)];
  await settle();
  return { world, network, a, b };
}

function node(
  network: MemoryNetwork,
  nodeId: number,
  options: Partial<CallsOptions> = {},
): CallLane {
  const transport = network.transport(nodeId);
  const calls = createCalls({ world: network.world, transport, nodeId, ...options });
  void transport.open(calls);
  transport.setPeers([1, 2].map((id) => ({ nodeId: id, host: "memory", port: id })));
  return calls;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const ask = (verb: string, more: object = {}) => ({
  to: 2,
  verb,
  head: null,
  timeoutMs: 10_000,
  ...more,
});

/** How a call ended: its answer, or the fault's code and side effects. */
async function outcome(call: Promise<CallAnswer>): Promise<unknown> {
  return call.then(
    (answer) => answer.head,
    (fault: unknown) =>
      fault instanceof Fault ? `${fault.code}, side effects ${fault.sideEffects}` : fault,
  );
}

/** Serves `verb` so that each call waits for the test. */
function holding(
  calls: CallLane,
  verb: string,
): (IncomingCall & { answer: (v: string) => void })[] {
  const held: (IncomingCall & { answer: (v: string) => void })[] = [];
  calls.serve(verb, (call) => {
    const { promise, resolve } = Promise.withResolvers<{ head: string }>();
    held.push({ ...call, answer: (head) => resolve({ head }) });
    return promise;
  });
  return held;
}

describe("calls", () => {
  test("an answer comes back to its question, with bytes that the caller owns", async () => {
    const { a, b } = await pair();
    let released = 0;
    b.serve("echo", ({ from, head, body }) =>
      Promise.resolve({
        head: { from, head },
        body: [body, bytes("!")],
        release: () => void (released += 1),
      }),
    );
    const calls = ["one", "two"].map((text) =>
      a.call(ask("echo", { head: { n: 1, raw: bytes(text) }, body: [bytes("x"), bytes(text)] })),
    );
    const answers = await Promise.all(calls);
    await settle();
    const texts = answers.map(({ body }) => new TextDecoder().decode(body));
    expect(texts).toEqual(["xone!", "xtwo!"]);
    const [{ head }] = answers as unknown as [
      { head: { from: number; head: { raw: Uint8Array } } },
    ];
    expect([head.from, new TextDecoder().decode(head.head.raw)]).toEqual([1, "one"]);
    expect(released).toBe(2);
    expect(a.metrics()).toMatchObject({ calls_outgoing: 0, calls_outgoing_bytes: 0 });
    expect(b.metrics()).toMatchObject({ calls_incoming: 0, calls_incoming_bytes: 0 });
  });

  test("a fault keeps code, detail, side effects and members; any other error is told as such", async () => {
    const logged: unknown[] = [];
    const log = {
      write: (...[, , fields]: Parameters<PeerLog["write"]>) => void logged.push(fields?.["cause"]),
    };
    const { a, b } = await pair({ log });
    b.serve("fault", () =>
      Promise.reject(
        new Fault("not_leader_or_follower", "Ask node 3", {
          sideEffects: "unknown",
          members: { leader: 3 },
        }),
      ),
    );
    b.serve("bug", () => {
      throw new Error("secret");
    });
    const thrown = await a.call(ask("fault")).catch((fault: unknown) => fault as Fault);
    expect(thrown).toMatchObject({
      code: "not_leader_or_follower",
      message: "Ask node 3",
      sideEffects: "unknown",
      members: { leader: 3 },
    });
    const bug = await a.call(ask("bug")).catch((fault: unknown) => fault as Fault);
    expect(bug).toMatchObject({ code: "unknown_server_error" });
    expect((bug as Fault).message).not.toContain("secret");
    expect(logged).toEqual([new Error("secret")]);
    b.serve("unpackable", () => {
      const head = Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i]));
      return Promise.resolve({ head });
    });
    expect(await outcome(a.call(ask("unpackable")))).toBe(
      "unknown_server_error, side effects unknown",
    );
    expect(await outcome(a.call(ask("nothing")))).toBe("invalid_request, side effects none");
  });

  test("a call ends by its timeout or its signal, and the handler hears of both", async () => {
    const { world, a, b } = await pair();
    const held = holding(b, "hold");
    const controller = new AbortController();
    const slow = outcome(a.call(ask("hold", { timeoutMs: 100 })));
    const aborted = outcome(a.call(ask("hold", { signal: controller.signal })));
    await settle();
    controller.abort();
    expect(await aborted).toBe("request_timed_out, side effects unknown");
    world.advance(100);
    expect(await slow).toBe("request_timed_out, side effects unknown");
    await settle();
    expect(held.map(({ signal }) => signal.aborted)).toEqual([true, true]);
    held[0].answer("late");
    await settle();
    expect(a.metrics()).toMatchObject({ calls_outgoing: 0 });
    const signal = AbortSignal.abort();
    expect(await outcome(a.call(ask("hold", { signal })))).toBe(
      "request_timed_out, side effects none",
    );
    expect(held).toHaveLength(2);
  });

  test("without a connection a call fails at once, without side effects", async () => {
    const { network, a } = await pair();
    network.kill(2);
    await settle();
    expect(await outcome(a.call(ask("x")))).toBe("node_unreachable, side effects none");
    expect(await outcome(a.call(ask("x", { to: 7 })))).toBe("node_unreachable, side effects none");
  });

  test("the end of the connection ends the calls of both sides", async () => {
    const { network, a, b } = await pair();
    const held = holding(b, "hold");
    const call = outcome(a.call(ask("hold")));
    await settle();
    network.kill(1);
    await settle();
    expect(held[0].signal.aborted).toBe(true);
    network.kill(2);
    const again = node(network, 1);
    const heldAgain = holding(node(network, 2), "hold");
    await settle();
    const other = outcome(again.call(ask("hold")));
    await settle();
    expect(heldAgain).toHaveLength(1);
    network.kill(2);
    expect(await other).toBe("node_unreachable, side effects unknown");
    a.close();
    expect(await call).toBe("shutting_down, side effects unknown");
    b.close();
  });

  test("a swallowed answer is told before the timeout, over the lane that swallowed it", async () => {
    const { network, a, b } = await pair();
    const held = holding(b, "hold");
    const call = outcome(a.call(ask("hold")));
    await settle();
    network.lose(2, 1, 1);
    held[0].answer("lost");
    await settle(1);
    network.heal();
    expect(await call).toBe("node_unreachable, side effects unknown");
  });

  test("a lane that broke while nothing could be sent is told when the node is up again", async () => {
    const { network, world, a, b } = await pair();
    const held = holding(b, "hold");
    const call = outcome(a.call(ask("hold")));
    await settle();
    network.cutOneWay(2, 1);
    held[0].answer("lost");
    await settle();
    world.advance(1_000);
    await settle();
    expect(a.metrics()["calls_outgoing"]).toBe(1);
    network.heal();
    await settle();
    expect(await call).toBe("node_unreachable, side effects unknown");
    expect(b.metrics()["calls_incoming"]).toBe(0);
  });

  test("a broken lane fails the calls that went over it, and later ones go through", async () => {
    const { network, a, b } = await pair();
    const held = holding(b, "hold");
    b.serve("ping", () => Promise.resolve({ head: "pong" }));
    const call = outcome(a.call(ask("hold")));
    await settle();
    network.breakLane(1, 2, "call");
    expect(await call).toBe("node_unreachable, side effects unknown");
    expect(await outcome(a.call(ask("ping")))).toBe("pong");
    expect(held[0].signal.aborted).toBe(true);
  });

  test("a borrowed body is let go of before the call settles", async () => {
    const { network, world, a } = await pair();
    network.clog(1, 2);
    const body = [new Uint8Array(10)];
    let settled = false;
    const call = outcome(a.call(ask("x", { body, timeoutMs: 100 }))).finally(() => {
      settled = true;
    });
    world.advance(500);
    await settle();
    // The transport still holds it: who writes into the body now would send other bytes.
    expect(settled).toBe(false);
    network.reset(1, 2);
    expect(await call).toBe("request_timed_out, side effects unknown");
  });

  test("a node that falls silent keeps nobody waiting, whatever it holds; it is asked again once it is heard", async () => {
    const { network, a, b } = await pair();
    b.serve("x", () => Promise.resolve({ head: "done" }));
    network.clog(1, 2);
    let released = 0;
    const release = (): void => void (released += 1);
    const body = [new Uint8Array(10)];
    const calls = [a.call(ask("x")), a.call(ask("x", { body, release }))].map(outcome);
    await settle();
    a.onReach(2, false);
    const unknown = "node_unreachable, side effects unknown";
    expect(await Promise.all(calls)).toEqual([unknown, unknown]);
    const refused = "node_unreachable, side effects none";
    // The transport holds what was sent before, and got nothing of this.
    expect(released).toBe(0);
    expect(await outcome(a.call(ask("x", { body, release })))).toBe(refused);
    expect(released).toBe(1);
    network.unclog(1, 2);
    a.onReach(2, true);
    expect(await outcome(a.call(ask("x")))).toBe("done");
    expect(released).toBe(2);
  });

  test("a call without a body that is given up settles at once, also when nothing leaves", async () => {
    const { network, world, a } = await pair();
    network.clog(1, 2);
    const call = outcome(a.call(ask("x", { timeoutMs: 100 })));
    world.advance(150);
    expect(await call).toBe("request_timed_out, side effects unknown");
  });

  test("calls under way are limited by count and bytes, on both sides", async () => {
    const { a, b } = await pair({ callsMax: 2, bytesMax: 1_000 });
    const held = holding(b, "hold");
    const calls = [1, 2].map(() => outcome(a.call(ask("hold"))));
    expect(await outcome(a.call(ask("hold")))).toBe("overloaded, side effects none");
    await settle();
    for (const call of held) call.answer("done");
    expect(await Promise.all(calls)).toEqual(["done", "done"]);
    const body = [new Uint8Array(1_000)];
    expect(await outcome(a.call(ask("hold", { body })))).toBe("overloaded, side effects none");
  });

  test("a callee that is full refuses", async () => {
    const world = new VirtualWorld();
    const network = new MemoryNetwork(world);
    const [a, b] = [node(network, 1), node(network, 2, { callsMax: 1 })];
    await settle();
    const held = holding(b, "hold");
    const first = outcome(a.call(ask("hold")));
    expect(await outcome(a.call(ask("hold")))).toBe("overloaded, side effects none");
    held[0].answer("done");
    expect(await first).toBe("done");
  });

  test("questions and answers beyond a packet are refused", async () => {
    const { a, b } = await pair();
    const body = [new Uint8Array(limits.packetBodyBytesMax)];
    expect(await outcome(a.call(ask("x", { body })))).toBe("message_too_large, side effects none");
    let released = 0;
    b.serve("big", () =>
      Promise.resolve({ head: null, body, release: () => void (released += 1) }),
    );
    expect(await outcome(a.call(ask("big")))).toBe("message_too_large, side effects unknown");
    expect(released).toBe(1);
  });

  test("packets that are no calls are passed over", async () => {
    const { a, b } = await pair();
    b.serve("ping", () => Promise.resolve({ head: "pong" }));
    const junk = [new Uint8Array(0), Uint8Array.of(0xc1), bytes("hello"), Uint8Array.of(0x94, 9)];
    for (const head of junk) {
      b.onPacket({ from: 1, lane: "call", head, body: new Uint8Array(3) });
      b.onPacket({ from: 1, lane: "append", head, body: new Uint8Array(3) });
    }
    expect(await outcome(a.call(ask("ping")))).toBe("pong");
  });

  test("an answer from another node than was asked is passed over", async () => {
    const { a, b } = await pair();
    const held = holding(b, "hold");
    const questions: Uint8Array[] = [];
    const onPacket = b.onPacket.bind(b);
    b.onPacket = (packet) => {
      questions.push(new Uint8Array(packet.head));
      onPacket(packet);
    };
    const call = outcome(a.call(ask("hold")));
    await settle();
    const { id } = decodeCallMessage(questions[0])!;
    const head = encodeCallMessage({ kind: "answer", id, verb: "", headLength: 1 });
    a.onPacket({ from: 3, lane: "call", head, body: Uint8Array.of(7) });
    held[0].answer("from the one that was asked");
    expect(await call).toBe("from the one that was asked");
  });

  test("after close() nothing is taken", async () => {
    const { a, b } = await pair();
    holding(b, "hold");
    const call = outcome(a.call(ask("hold")));
    a.close();
    expect(await call).toBe("shutting_down, side effects unknown");
    expect(await outcome(a.call(ask("hold")))).toBe("shutting_down, side effects none");
  });
});
