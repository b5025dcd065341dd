// What a node needs to be one of several: where it listens for the others, how it is reached, whom it joins.

import type { Address } from "../address.ts";

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
