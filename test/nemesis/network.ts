// The hosts that the nodes of a real cluster run on: network namespaces whose links can be cut in silence, or plain
// loopback where the machine does not allow them (then nothing can be cut).
//
//   bridge 10.99.N.254 --- namespace 1: 10.99.N.1      a cut from 1 to 2: namespace 1 has a wrong hardware address for 2,
//                      \-- namespace 2: 10.99.N.2      so its frames to 2 reach nobody and no connection is told
//
// Promise: close() takes everything away again; all addresses are this machine's own. Left to others: what runs there.

import { spawnSync } from "node:child_process";
import process from "node:process";

export interface Network {
  /** Where node n (from 1) listens. */
  ip(n: number): string;
  /** Command and arguments that run a program on node n's host. */
  on(n: number, command: readonly string[]): readonly string[];
  readonly canCut: boolean;
  /** Frames from one node to another are lost from now on; the other direction is left alone. */
  cut(from: number, to: number): void;
  heal(): void;
  close(): void;
}

const nobody = "02:de:ad:be:ef:01";

/** True when namespaces can be made here (Linux, root, iproute2). */
export function canMakeNamespaces(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  const name = `rvprobe${process.pid}`;
  const made = run(["ip", "netns", "add", name]);
  const linked = made && run(["ip", "link", "add", name, "type", "bridge"]);
  if (linked) run(["ip", "link", "del", name]);
  if (made) run(["ip", "netns", "del", name]);
  return made && linked;
}

export const loopback: Network = {
  ip: () => "127.0.0.1",
  on: (_, command) => command,
  canCut: false,
  cut: () => undefined,
  heal: () => undefined,
  close: () => undefined,
};

/** A bridge and `count` namespaces on it. Throws with what `ip` said. */
export function createNamespaces(count: number): Network {
  const tag = (process.pid % 60_000).toString(36);
  const bridge = `rvb${tag}`;
  const subnet = `10.99.${process.pid % 250}`;
  const space = (n: number): string => `rv${tag}n${n}`;
  const ip = (n: number): string => `${subnet}.${n}`;
  const cuts = new Set<string>();
  const close = (): void => {
    for (let n = 1; n <= count; n += 1) run(["ip", "netns", "del", space(n)]);
    run(["ip", "link", "del", bridge]);
  };
  try {
    must(["ip", "link", "add", bridge, "type", "bridge"]);
    must(["ip", "addr", "add", `${ip(254)}/24`, "dev", bridge]);
    must(["ip", "link", "set", bridge, "up"]);
    for (let n = 1; n <= count; n += 1) addHost({ bridge, space: space(n), ip: ip(n), tag, n });
  } catch (fault) {
    close();
    throw fault;
  }
  return {
    ip,
    on: (n, command) => ["ip", "netns", "exec", space(n), ...command],
    canCut: true,
    cut(from, to) {
      must(
        `ip -n ${space(from)} neigh replace ${ip(to)} lladdr ${nobody} dev eth0 nud permanent`.split(
          " ",
        ),
      );
      cuts.add(`${from}>${to}`);
    },
    heal() {
      for (const one of cuts) {
        const [from, to] = one.split(">").map(Number);
        run(`ip -n ${space(from)} neigh del ${ip(to)} dev eth0`.split(" "));
      }
      cuts.clear();
    },
    close,
  };
}

function addHost(of: {
  readonly bridge: string;
  readonly space: string;
  readonly ip: string;
  readonly tag: string;
  readonly n: number;
}): void {
  const { bridge, space, ip, tag, n } = of;
  const outer = `rvv${tag}${n}`;
  must(["ip", "netns", "add", space]);
  must(`ip link add ${outer} type veth peer name eth0 netns ${space}`.split(" "));
  must(`ip link set ${outer} master ${bridge} up`.split(" "));
  must(`ip -n ${space} addr add ${ip}/24 dev eth0`.split(" "));
  must(`ip -n ${space} link set eth0 up`.split(" "));
  must(`ip -n ${space} link set lo up`.split(" "));
}

function run([program, ...args]: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}

function must([program, ...args]: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}`);
}
