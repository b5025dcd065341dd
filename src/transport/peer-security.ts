// What must hold before a peer port is opened.

import { type Refusal, refuse } from "../errors.ts";
import { keyFits, type PeerAuthOptions, secretCharsMin } from "./peer-auth.ts";

export interface PeerBind extends PeerAuthOptions {
  readonly host: string;
  /** The host is this machine's own loopback. */
  readonly loopback: boolean;
}

/** Null when a peer port may be opened so: beyond loopback only with a secret or certificates, because who reaches the
 *  port is otherwise believed. Asked by the node before it starts; createHttp2Transport() asserts it. */
export function peerBindRefusal({ host, loopback, secret, tls }: PeerBind): Refusal | null {
  const what = `Cannot open the peer port on ${host}`;
  if ((secret ?? null) !== null && (secret ?? "").length < secretCharsMin)
    return refuse(
      "invalid_config",
      `${what}: the cluster secret must have at least ${secretCharsMin} characters, got ${secret?.length ?? 0}`,
    );
  if (tls !== undefined && tls !== null) {
    const wrong = tlsFault(tls);
    if (wrong !== null) return refuse("invalid_config", `${what}: ${wrong}`);
  }
  if (loopback || (secret ?? null) !== null || (tls ?? null) !== null) return null;
  return refuse(
    "invalid_config",
    `${what}: beyond loopback a cluster secret or certificates are wanted, got neither`,
  );
}

function tlsFault(tls: NonNullable<PeerBind["tls"]>): string | null {
  try {
    return keyFits(tls) ? null : "the key does not belong to the certificate";
  } catch (error) {
    return `certificate and key must be PEM texts: ${(error as Error).message}`;
  }
}
