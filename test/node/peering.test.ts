// Where a member says that it is reached, and peer ports that must not be opened.

import { expect, test } from "bun:test";
import { parseAddress } from "../../src/address.ts";
import { Fault } from "../../src/errors.ts";
import { silentLog } from "../../src/node/logs.ts";
import { advertisedHttp, processNetwork, type PeerOptions } from "../../src/node/peering.ts";
import { systemWorld } from "../../src/world.ts";

for (const [http, peer, advertised, told] of [
  ["127.0.0.1:7480", "127.0.0.1:7490", null, "http://127.0.0.1:7480"],
  ["10.0.0.1:7480", "10.0.0.1:7490", null, "http://10.0.0.1:7480"],
  ["[fe80::1]:7480", "10.0.0.1:7490", null, "http://[fe80::1]:7480"],
  // "Every address" is none that others could call: the one that the peers call is.
  ["0.0.0.0:7480", "10.0.0.1:7490", null, "http://10.0.0.1:7480"],
  ["[::]:7480", "[fe80::1]:7490", null, "http://[fe80::1]:7480"],
  // Others would call themselves.
  ["127.0.0.1:7480", "10.0.0.1:7490", null, null],
  ["127.0.0.1:7480", "10.0.0.1:7490", "https://log.example/a/", "https://log.example/a"],
] as const)
  test(`a node at ${http} with peers at ${peer} tells ${told}`, () => {
    const listen = parseAddress(peer)!;
    const options = { listen, advertiseHttp: advertised };
    expect(advertisedHttp(options, parseAddress(http)!, listen.host)).toBe(told);
  });

const options = (more: Partial<PeerOptions>): PeerOptions => ({
  listen: parseAddress("127.0.0.1:7490")!,
  join: [],
  advertisePeer: null,
  advertiseHttp: null,
  region: null,
  secret: null,
  tls: null,
  ...more,
});

for (const [what, more, words] of [
  ["beyond loopback with nothing", { listen: parseAddress("10.0.0.1:1")! }, "got neither"],
  ["with a short secret", { secret: "short" }, "at least 16 characters"],
  ["with texts that are no certificates", { tls: { cert: "a", key: "b", ca: "c" } }, "PEM"],
] as const)
  test(`a peer port ${what} is refused before anything is opened`, async () => {
    const ground = { world: systemWorld, log: silentLog };
    const fault = await processNetwork(options(more), ground).catch((thrown: unknown) => thrown);
    expect(fault).toBeInstanceOf(Fault);
    expect((fault as Fault).message).toContain(words);
  });
