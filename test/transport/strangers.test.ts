// Who may not talk to a node, and what a node hears that dials the wrong one.

import { afterEach, describe, expect, test } from "bun:test";
import { connect as connectSocket } from "node:net";
import { connect } from "node:http2";
import { refuse } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { askToJoin } from "../../src/transport/ask-to-join.ts";
import { greet } from "../../src/transport/greeting.ts";
import {
  decodeHelloAnswer,
  encodeHello,
  encodeHelloAnswer,
  encodeProof,
  type HelloAnswer,
  transcriptOf,
} from "../../src/transport/hello.ts";
import {
  createHttp2Transport,
  type Http2TransportOptions,
} from "../../src/transport/http2-transport.ts";
import { PeerAuth } from "../../src/transport/peer-auth.ts";
import { peerBindRefusal } from "../../src/transport/peer-security.ts";
import type { PeerWire } from "../../src/transport/peer-wire.ts";
import type { Lane } from "../../src/transport/transport.ts";
import { systemWorld } from "../../src/world.ts";
import { until } from "../broker/virtual-world.ts";
import { chainedTls, tlsOf } from "./certificates.ts";
import { addressed, connected, introduce, pattern } from "./conformance.ts";
import { codeOf, type LoggedMember, startNode } from "./http2-nodes.ts";
import { textPacket } from "./recorder.ts";

const started: LoggedMember[] = [];
afterEach(async () => {
  for (const { transport } of started.splice(0)) await transport.close();
});

async function node(
  nodeId: number,
  options: Partial<Http2TransportOptions> = {},
): Promise<LoggedMember> {
  const member = await startNode(nodeId, options);
  started.push(member);
  return member;
}

const secret = "a secret of the cluster";

/** The codes that a node logged, each once. */
const logged = ({ lines }: LoggedMember): string[] => [
  ...new Set(lines.map(({ fields }) => fields["code"] as string)),
];

describe("a node does not talk to", () => {
  const cases: readonly {
    readonly name: string;
    readonly code: string;
    readonly one?: Partial<Http2TransportOptions>;
    readonly two?: Partial<Http2TransportOptions>;
  }[] = [
    { name: "another cluster", code: "wrong_cluster", two: { clusterId: "other" } },
    {
      name: "one with another secret",
      code: "peer_authentication_failed",
      one: { secret },
      two: { secret: "another secret of it" },
    },
    { name: "one without a secret", code: "peer_authentication_failed", one: { secret } },
    { name: "one that wants a secret", code: "peer_authentication_failed", two: { secret } },
    {
      name: "one with a certificate of another authority",
      code: "node_unreachable",
      one: { tls: tlsOf("cluster") },
      two: { tls: tlsOf("other") },
    },
    {
      name: "one whose own authority is right and whose certificate is not",
      code: "peer_authentication_failed",
      one: { tls: tlsOf("cluster") },
      // It believes us, and TLS would let it in: no certificate is asked for there. The hello does.
      two: { tls: { ...tlsOf("other"), ca: tlsOf("cluster").ca } },
    },
    {
      name: "one with a certificate and another secret",
      code: "peer_authentication_failed",
      one: { secret, tls: tlsOf("cluster") },
      two: { secret: `${secret}.`, tls: tlsOf("cluster") },
    },
  ];
  for (const { name, code, one, two } of cases)
    test(name, async () => {
      const [a, b] = [await node(1, one), await node(2, two)];
      introduce([a, b]);
      await until(() => logged(b).includes(code), `node 2 to log ${code}`);
      await until(() => logged(a).length > 0, "node 1 to log");
      expect([a.told.events, b.told.events]).toEqual([[], []]);
      expect(a.transport.send(2, "control", textPacket("x"))).toBe(false);
      // What goes on being wrong is told once, not at every attempt.
      const lines = [...a.lines, ...b.lines].map((line) => JSON.stringify(line));
      expect(new Set(lines).size).toBe(lines.length);
    });

  test("one whose certificate has expired", async () => {
    const later = { ...systemWorld, now: () => Date.now() + 400 * 86_400_000 };
    const tls = tlsOf("cluster");
    const [a, b] = [await node(1, { tls, world: later }), await node(2, { tls })];
    introduce([a, b]);
    await until(() => logged(b).includes("peer_authentication_failed"), "the refusal");
    expect(a.told.events).toEqual([]);
  });

  test("a node that is not the one that was asked for", async () => {
    const [a, b] = [await node(1), await node(2)];
    a.transport.setPeers([{ ...addressed(b), nodeId: 3 }]);
    b.transport.setPeers([addressed(a)]);
    await until(() => logged(a).includes("wrong_node"), "the refusal");
    expect(a.told.events).toEqual([]);
    expect(a.lines[0].fields["detail"] as string).toContain(
      "it asks for node 3, and this is node 2",
    );
  });

  test("another process of itself", async () => {
    const [a, b] = [await node(1), await node(1)];
    b.transport.setPeers([{ ...addressed(a), nodeId: 2 }]);
    await until(() => logged(b).includes("wrong_node"), "the refusal");
  });

  test("a node that it does not admit", async () => {
    const [a, b] = [await node(1, { admit: allButNode2 }), await node(2)];
    b.transport.setPeers([addressed(a)]);
    await until(() => logged(b).includes("policy_violation"), "the refusal");
    expect(b.lines[0].fields["detail"]).toBe("Node 2 was removed");
  });

  test("a process that a newer one has replaced", async () => {
    const pace = { refusedMs: 50 };
    const [a, old] = [await node(1), await node(2, { bootId: "old", pace })];
    introduce([a, old]);
    await connected([a, old]);
    const next = await node(2, { bootId: "new" });
    next.transport.setPeers([addressed(a)]);
    await until(() => logged(old).includes("replaced_process"), "the former process to hear it");
    // It tries again, and is not believed any more.
    await until(
      () => a.lines.some(({ message }) => message === "A peer was refused"),
      "the former process to be refused",
    );
    a.transport.setPeers([addressed(next)]);
    await connected([a, next]);
    next.transport.send(1, "control", textPacket("from the new one"));
    await until(() => a.told.packets.length === 1, "the packet");
    expect(old.transport.send(1, "control", textPacket("from the old one"))).toBe(false);
    expect(old.transport.links()[0].connected).toBe(false);
  });
});

describe("a proof", () => {
  const { now } = Date;
  const transcript = new Uint8Array(32);
  const cluster = new PeerAuth({ tls: tlsOf("cluster") }, now);
  const { certificate } = cluster;
  const label = "callee";

  test("holds for its label, transcript and key alone", () => {
    const proof = cluster.prove(label, transcript);
    const shown = { label, transcript, proof, certificate };
    expect(cluster.check(shown)).toBeNull();
    const { key } = tlsOf("other");
    const thief = new PeerAuth({ tls: { ...tlsOf("cluster"), key } }, now);
    const wrong: readonly Partial<typeof shown>[] = [
      { label: "caller control" },
      { transcript: new Uint8Array(32).fill(1) },
      { proof: thief.prove(label, transcript) },
      { proof: { mac: proof.mac, signature: new Uint8Array(0) } },
      { certificate: tlsOf("other").cert },
      { certificate: "" },
      { certificate: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----" },
    ];
    for (const part of wrong)
      expect(cluster.check({ ...shown, ...part })?.code).toBe("peer_authentication_failed");
  });

  test("holds through an authority between, and not through a node that plays one", () => {
    for (const [link, detail] of [
      ["authority", undefined],
      ["node", expect.stringContaining("is of another authority")],
    ] as const) {
      const tls = chainedTls({ link });
      const auth = new PeerAuth({ tls }, now);
      const shown = { label, transcript, proof: auth.prove(label, transcript) };
      expect(auth.check({ ...shown, certificate: tls.cert })?.detail).toEqual(detail);
    }
  });

  test("never holds the secret, and another secret is another proof", () => {
    const [one, two] = [secret, `${secret}!`].map((secret) => new PeerAuth({ secret }, now));
    const proof = one.prove(label, transcript);
    expect(Buffer.from(proof.mac).toString("latin1")).not.toContain(secret);
    expect(one.check({ label, transcript, proof, certificate: "" })).toBeNull();
    expect(two.check({ label, transcript, proof, certificate: "" })?.code).toBe(
      "peer_authentication_failed",
    );
  });
});

describe("a node believes", () => {
  for (const [name, options] of [
    ["the secret", { secret }],
    ["certificates", { tls: tlsOf("cluster") }],
    ["both", { secret, tls: tlsOf("cluster") }],
  ] as const)
    test(name, async () => {
      const [a, b] = [await node(1, options), await node(2, options)];
      introduce([a, b]);
      await connected([a, b]);
      a.transport.send(2, "bulk", textPacket("x", [pattern(1_000_000)]));
      await until(() => b.told.packets.length === 1, "the packet");
    });
});

describe("a peer port", () => {
  test("beyond loopback wants a secret or certificates", () => {
    const bind = { host: "0.0.0.0", loopback: false };
    expect(peerBindRefusal(bind)).toMatchObject({ code: "invalid_config" });
    expect(peerBindRefusal({ ...bind, secret: "short" })?.detail).toContain("at least 16");
    expect(peerBindRefusal({ ...bind, secret })).toBeNull();
    expect(peerBindRefusal({ ...bind, tls: tlsOf("cluster") })).toBeNull();
    expect(peerBindRefusal({ host: "127.0.0.1", loopback: true })).toBeNull();
    const mixed = { ...tlsOf("cluster"), key: tlsOf("other").key };
    expect(peerBindRefusal({ ...bind, tls: mixed })?.detail).toContain("does not belong");
    expect(peerBindRefusal({ ...bind, tls: { ...mixed, cert: "x" } })?.detail).toContain("PEM");
    expect(openToAll).toThrow("beyond loopback a cluster secret or certificates are wanted");
  });

  test("that is taken is told by its address", async () => {
    const a = await node(1);
    expect(await codeOf(startNode(2, { listen: a.transport.address }))).toBe("invalid_config");
  });

  test("outlives garbage, half a request and a flood of hellos", async () => {
    const [a, b] = [await node(1), await node(2)];
    const { port } = a.transport.address;
    for (const bytes of [pattern(5_000), Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxx")])
      await new Promise<void>((resolve) => {
        const socket = connectSocket(port, "127.0.0.1", () => socket.end(bytes));
        socket.on("error", () => resolve());
        socket.on("close", () => resolve());
        socket.resume();
      });
    const url = `http://127.0.0.1:${port}/peer/v1`;
    const post = async (path: string, body: Uint8Array): Promise<number> =>
      (await fetch(`${url}/${path}`, { method: "POST", body: body as BodyInit })).status;
    expect(await post("hello", pattern(100))).toBe(400);
    expect(await post("hello", new Uint8Array(limits.helloBytesMax + 1))).toBe(400);
    expect(await post("lanes/control", pattern(10))).toBe(401);
    expect(await post("batches/control", pattern(10))).toBe(401);
    expect(await post("lanes/nothing", pattern(10))).toBe(404);
    expect(await post("join", pattern(10))).toBe(400);
    expect((await fetch(`${url}/hello`)).status).toBe(404);
    const hello = encodeHello({
      purpose: "lanes",
      clusterId: "c",
      from: 9,
      to: 1,
      bootId: "x",
      nonce: new Uint8Array(16),
      certificate: "",
    });
    for (let i = 0; i < limits.hellosWaitingMax + 50; i += 1)
      expect(await post("hello", hello)).toBe(200);
    expect(a.transport.metrics()["hellos_kept"]).toBe(limits.hellosWaitingMax);
    introduce([a, b]);
    await connected([a, b]);
    expect(a.told.events).toEqual(["up 2"]);
  });

  test("opens a lane once a session, and ends it at the first wrong byte", async () => {
    const a = await node(1);
    const { session, headers } = await met(a);
    const path = { ":method": "POST", ":path": "/peer/v1/lanes/append" };
    const lane = session.request({ ...path, ...headers("append") });
    const got: Uint8Array[] = [];
    lane.on("data", (bytes: Uint8Array) => void got.push(bytes));
    await new Promise((resolve) => lane.once("response", resolve));
    const replayed = await post(session, "lanes/append", headers("append"), new Uint8Array(1));
    expect(replayed.status).toBe(401);
    const ended = new Promise((resolve) => lane.once("end", resolve));
    lane.write(pattern(100));
    await ended;
    expect(Buffer.concat(got).toString("latin1")).toContain("corrupt_message");
    expect(logged(a)).toContain("corrupt_message");
    session.destroy();
  });

  for (const [what, lane, bootId] of [
    ["a lane that its node opens anew", "append", "x"],
    ["every lane of a process that a newer one replaces", "control", "y"],
  ] as const)
    test(`ends ${what}`, async () => {
      const a = await node(1);
      const first = await met(a);
      const former = await opened(first, "append");
      const ended = new Promise((resolve) => former.once("end", resolve));
      const second = await met(a, { bootId });
      await opened(second, lane);
      await ended;
      expect(a.transport.metrics()["lanes_inbound"]).toBe(1);
      first.session.destroy();
      second.session.destroy();
    });

  test("takes batches of a lane only with its proof, each of them", async () => {
    const a = await node(1, { secret });
    const { session, headers } = await met(a, { secret });
    const none = new Uint8Array(0);
    const batch = async (proof: Readonly<Record<string, string>>): Promise<number> =>
      (await post(session, "batches/append", proof, none)).status;
    expect(await batch(headers("control"))).toBe(401);
    expect(await batch(headers("append"))).toBe(200);
    expect(await batch({ ...headers("append"), "rivulet-proof": "AAAA," })).toBe(401);
    expect(await batch(headers("append"))).toBe(200);
    session.destroy();
  });
});

describe("one who says hello", () => {
  const auth = new PeerAuth({}, () => 0);
  const target = { host: "h", port: 1, tls: null };
  const who = { purpose: "lanes", clusterId: "c", from: 1, to: 2, bootId: "b" } as const;

  /** The code with which a hello ends that is answered so. */
  const greeted = (answer: Partial<HelloAnswer>): Promise<string> => {
    const said: HelloAnswer = {
      clusterId: "c",
      nodeId: 2,
      bootId: "x",
      nonce: new Uint8Array(16),
      session: new Uint8Array(16),
      certificate: "",
      ...answer,
    };
    const none = { mac: new Uint8Array(0), signature: new Uint8Array(0) };
    const ask = () => Promise.resolve({ status: 200, body: encodeHelloAnswer(said, none) });
    const wire = { ask } as unknown as PeerWire;
    return codeOf(greet(wire, who, { world: systemWorld, auth, target }));
  };

  test("checks who answers", async () => {
    expect(await greeted({})).toBe("fulfilled");
    expect(await greeted({ clusterId: "d" })).toBe("wrong_cluster");
    expect(await greeted({ nodeId: 3 })).toBe("wrong_node");
  });
});

describe("a node that asks to join", () => {
  const world = systemWorld;

  for (const [name, options] of [
    ["openly", {}],
    ["with the secret", { secret }],
    ["with a certificate", { tls: tlsOf("cluster") }],
  ] as const)
    test(`is answered ${name}`, async () => {
      const asked: unknown[] = [];
      const a = await node(1, {
        ...options,
        onJoin: (request) => {
          asked.push(request);
          return Promise.resolve({ nodeId: 7, peers: [] });
        },
      });
      const request = { version: "1", peer: { host: "h", port: 1 } };
      const { address } = a.transport;
      const answer = await askToJoin({ world, address, ...options, request });
      expect(answer).toEqual({ nodeId: 7, peers: [] });
      expect(asked).toEqual([request]);
    });

  test("is refused without the secret, and nothing is asked", async () => {
    let asked = 0;
    const a = await node(1, {
      secret,
      onJoin: () => Promise.resolve((asked += 1)),
    });
    const { address } = a.transport;
    const ask = (more: object) => codeOf(askToJoin({ world, address, request: {}, ...more }));
    expect(await ask({})).toBe("peer_authentication_failed");
    expect(await ask({ secret: "another secret of it" })).toBe("peer_authentication_failed");
    expect(asked).toBe(0);
  });

  test("hears what the member threw, and that nobody is there", async () => {
    const a = await node(1, { onJoin: () => Promise.reject(new Error("private")) });
    const b = await node(2);
    expect(await asked(a.transport.address)).toBe("unknown_server_error");
    expect(await asked(b.transport.address)).toBe("not_found");
    await b.transport.close();
    expect(await asked({ host: "127.0.0.1", port: 1 })).toBe("node_unreachable");
  });

  test("does not wait for ever", async () => {
    const a = await node(1, { onJoin: () => new Promise(() => undefined) });
    const { address } = a.transport;
    const asked = askToJoin({ world, address, request: {}, timeoutMs: 100 });
    expect(await codeOf(asked)).toBe("request_timed_out");
  });
});

const allButNode2 = (nodeId: number) =>
  nodeId === 2 ? refuse("policy_violation", "Node 2 was removed") : null;

const asked = (address: { host: string; port: number }) =>
  codeOf(askToJoin({ world: systemWorld, address, request: {} }));

const openToAll = () =>
  createHttp2Transport({
    world: systemWorld,
    nodeId: 1,
    clusterId: "c",
    bootId: "b",
    listen: { host: "0.0.0.0", port: 0 },
    log: { write: () => undefined },
  });

interface Stranger {
  readonly session: ReturnType<typeof connect>;
  /** What opens a lane. */
  readonly headers: (label: string) => Readonly<Record<string, string>>;
}

/** A connection on which node 9 has said hello. */
async function met(
  { transport }: LoggedMember,
  {
    secret = null,
    bootId = "x",
  }: { readonly secret?: string | null; readonly bootId?: string } = {},
): Promise<Stranger> {
  const auth = new PeerAuth({ secret }, () => 0);
  const session = connect(`http://127.0.0.1:${transport.address.port}`);
  const hello = {
    purpose: "lanes",
    clusterId: "c",
    from: 9,
    to: 1,
    bootId,
    nonce: new Uint8Array(16),
    certificate: "",
  } as const;
  const { body } = await post(session, "hello", {}, encodeHello(hello));
  const { answer } = decodeHelloAnswer(body)!;
  const transcript = transcriptOf(hello, answer);
  return {
    session,
    headers: (label) => ({
      "rivulet-session": Buffer.from(answer.session).toString("hex"),
      "rivulet-proof": encodeProof(auth.prove(`caller ${label}`, transcript)),
    }),
  };
}

async function opened(
  { session, headers }: Stranger,
  lane: Lane,
): Promise<ReturnType<typeof session.request>> {
  const path = { ":method": "POST", ":path": `/peer/v1/lanes/${lane}` };
  const stream = session.request({ ...path, ...headers(lane) });
  stream.resume();
  await new Promise((resolve) => stream.once("response", resolve));
  return stream;
}

async function post(
  session: ReturnType<typeof connect>,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
): Promise<{ status: number; body: Uint8Array }> {
  const stream = session.request({ ":method": "POST", ":path": `/peer/v1/${path}`, ...headers });
  const parts: Uint8Array[] = [];
  let status = 0;
  stream.on("response", (answer) => void (status = answer[":status"] ?? 0));
  stream.on("data", (part: Uint8Array) => void parts.push(part));
  stream.end(body);
  await new Promise((resolve) => stream.once("end", resolve));
  return { status, body: Buffer.concat(parts) };
}
