// What a node needs to be one of several: where it listens for the others, how it is reached, whom it joins, and the
// network on which they meet: HTTP/2 between processes, or one in memory for tests (PeerNetwork is that seam).

import type { Address } from "../address.ts";
import { Fault, type Refusal } from "../errors.ts";
import type { Transport } from "../transport/transport.ts";
import type { World } from "../world.ts";
import type { Identity } from "./data-folder.ts";
import type { PeerPlace } from "./joining.ts";
import type { Log } from "./logs.ts";

export interface PeerOptions {
  /** Where the peer port is bound; port 0: any free one. */
  readonly listen: Address;
  /** URLs of members, asked in turn; empty: this node forms a cluster, or is a member already. */
  readonly join: readonly string[];
  /** Where the other nodes reach this one; null: where the peer port is bound. */
  readonly advertisePeer: { readonly host: string; readonly port: number } | null;
  /** Where clients reach its HTTP door; null: derived (advertisedHttp()). */
  readonly advertiseHttp: string | null;
  readonly region: string | null;
  /** Known to every node of the cluster; null: none. */
  readonly secret: string | null;
  /** PEM texts; null: cleartext. */
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string } | null;
}

/** How nodes meet. */
export interface PeerNetwork {
  /** The transport of a member; not open yet. */
  transport(self: PeerSelf): Transport;
  /** Asks the node at that place to be let in; resolves to what its onJoin answered. Throws Fault. */
  join(place: PeerPlace, request: unknown): Promise<unknown>;
}

export interface PeerSelf {
  readonly identity: Identity & { readonly clusterId: string };
  /** Of this process alone. */
  readonly bootId: string;
  /** Answers a node that wants to become a member. */
  readonly onJoin: (request: unknown) => Promise<unknown>;
  /** Why that node may not connect; null: it may. */
  readonly admit: (nodeId: number) => Refusal | null;
  /** A peer refuses this node for a reason that lasts; what it says is not proven. */
  readonly onRefused: (peerId: number, why: Fault) => void;
}

/** Nodes in processes of their own. Throws Fault invalid_config for a peer port that must not be opened so, or
 *  certificates that are none: before anybody is asked anything. */
export async function processNetwork(
  { listen, secret, tls }: PeerOptions,
  { world, log }: { readonly world: World; readonly log: Log },
): Promise<PeerNetwork> {
  const [{ createHttp2Transport }, { askToJoin }, { peerBindRefusal }] = await Promise.all([
    import("../transport/http2-transport.ts"),
    import("../transport/ask-to-join.ts"),
    import("../transport/peer-security.ts"),
  ]);
  const { host, port, loopback } = listen;
  const refused = peerBindRefusal({ host, loopback, secret, tls });
  if (refused !== null) throw new Fault(refused.code, refused.detail);
  const ground = { world, log, listen: { host, port }, secret, tls };
  return {
    transport: ({ identity: { nodeId, clusterId }, ...self }) =>
      createHttp2Transport({ ...ground, nodeId, clusterId, ...self }),
    join: (address, request) => askToJoin({ world, address, secret, tls, request }),
  };
}

const isWildcard = (host: string): boolean => host === "0.0.0.0" || host === "::";

/** The URL to tell others for a door that is bound to `http`: what was advertised; else the address itself; of "every
 *  address" the host under which the peers reach this node. null when only this machine could use it and the peers are
 *  elsewhere. */
export function advertisedHttp(
  { advertiseHttp, listen }: Pick<PeerOptions, "advertiseHttp" | "listen">,
  http: { readonly host: string; readonly port: number; readonly loopback: boolean },
  peerHost: string,
): string | null {
  if (advertiseHttp !== null) return advertiseHttp.replace(/\/+$/, "");
  if (http.loopback && !listen.loopback) return null;
  const host = isWildcard(http.host) ? peerHost : http.host;
  return `http://${host.includes(":") ? `[${host}]` : host}:${http.port}`;
}
