// How one node proves to another that it belongs to the cluster: by a secret that all know, or by a certificate of the
// cluster's own authority, or by both.
//
//   proof = HMAC-SHA256(secret, label | transcript)        and / or        signature(key, label | transcript)
//
// The transcript holds fresh random bytes of both sides, so no proof is of use twice; the label says what is proven.
// Certificates are checked here and not by TLS alone: Deno.serve cannot ask a client for one, and Bun is known to let
// clients in that it should not (Bun issue 16254). Promise: neither secret nor key is ever sent. Left to others: the
// transcript (hello.ts), encryption (TLS).

import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
  X509Certificate,
} from "node:crypto";
import { type Refusal, refuse } from "../errors.ts";

/** PEM texts. `cert` is the node's own, intermediates behind it; `ca` is every authority that is believed. */
export interface PeerTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface PeerAuthOptions {
  /** At least secretCharsMin characters. */
  readonly secret?: string | null;
  readonly tls?: PeerTls | null;
}

export const secretCharsMin = 16;

/** What one side shows; empty where a way is not used. */
export interface Proof {
  readonly mac: Uint8Array;
  readonly signature: Uint8Array;
}

export class PeerAuth {
  /** Own certificate as it is shown to others; "" without. */
  readonly certificate: string;
  readonly #secret: string | null;
  readonly #key: KeyObject | null;
  readonly #authorities: readonly X509Certificate[];
  readonly #now: () => number;

  /** Throws what node:crypto throws about a text that is no certificate or key. `now`: wall clock, ms. */
  constructor({ secret = null, tls = null }: PeerAuthOptions, now: () => number) {
    this.#secret = secret;
    this.#key = tls === null ? null : createPrivateKey(tls.key);
    this.#authorities = tls === null ? [] : certificatesIn(tls.ca);
    this.certificate = tls?.cert ?? "";
    this.#now = now;
  }

  prove(label: string, transcript: Uint8Array): Proof {
    const message = messageOf(label, transcript);
    return { mac: this.#mac(message), signature: signed(message, this.#key) };
  }

  /** Null when the proof holds in every way that this side uses. `certificate`: what the other side showed. */
  check(shown: {
    readonly label: string;
    readonly transcript: Uint8Array;
    readonly proof: Proof;
    readonly certificate: string;
  }): Refusal | null {
    const { proof, certificate } = shown;
    const message = messageOf(shown.label, shown.transcript);
    if (this.#secret !== null && !equal(proof.mac, this.#mac(message)))
      return unproven("the cluster's secret is wanted, got none or another");
    if (this.#key === null) return null;
    const chain = this.#trustedChain(certificate);
    if (typeof chain === "string") return unproven(chain);
    return verified(message, chain.publicKey, proof.signature)
      ? null
      : unproven("the certificate is not its own: its signature does not verify");
  }

  #mac(message: Uint8Array): Uint8Array {
    if (this.#secret === null) return new Uint8Array(0);
    return createHmac("sha256", this.#secret).update(message).digest();
  }

  /** The leaf of a chain that ends at a believed authority, or what is wrong. */
  #trustedChain(pem: string): X509Certificate | string {
    let chain: X509Certificate[];
    try {
      chain = certificatesIn(pem);
    } catch {
      return "a certificate is wanted, got something else";
    }
    if (chain.length === 0) return "a certificate is wanted, got none";
    const [leaf] = chain;
    for (let at = 0; at < chain.length; at += 1) {
      const link = chain[at];
      if (!this.#isCurrent(link)) return `the certificate of ${link.subject} is not valid now`;
      if (this.#authorities.some((authority) => issued(link, authority))) return leaf;
      const next = chain[at + 1] as X509Certificate | undefined;
      if (next === undefined || !issued(link, next)) break;
    }
    return `the certificate of ${leaf.subject} is of another authority`;
  }

  #isCurrent({ validFrom, validTo }: X509Certificate): boolean {
    const now = this.#now();
    return Date.parse(validFrom) <= now && now <= Date.parse(validTo);
  }
}

function issued(leaf: X509Certificate, authority: X509Certificate): boolean {
  return authority.ca && leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
}

/** Every certificate of a PEM text, in order; at most chainMax. Throws about one that cannot be read. */
function certificatesIn(pem: string): X509Certificate[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return found.slice(0, chainMax).map((one) => new X509Certificate(one));
}

const chainMax = 16;

function messageOf(label: string, transcript: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`rivulet peer ${label}\n`), transcript]);
}

function signed(message: Uint8Array, key: KeyObject | null): Uint8Array {
  return key === null ? new Uint8Array(0) : sign(digestOf(key), message, key);
}

function verified(message: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  try {
    return verify(digestOf(key), message, key, signature);
  } catch {
    return false;
  }
}

/** Ed25519 and Ed448 have their own digest. */
const digestOf = (key: KeyObject): string | null =>
  key.asymmetricKeyType === "ed25519" || key.asymmetricKeyType === "ed448" ? null : "sha256";

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

const unproven = (why: string): Refusal =>
  refuse("peer_authentication_failed", `Cannot talk to this peer: ${why}`);

/** Whether a key belongs to a certificate; throws about texts that are neither. */
export function keyFits({ cert, key }: PeerTls): boolean {
  const [leaf] = certificatesIn(cert);
  const own = createPublicKey(createPrivateKey(key)).export({ type: "spki", format: "der" });
  return leaf.publicKey.export({ type: "spki", format: "der" }).equals(own);
}
