// The options of a cluster, checked together: what a node needs to talk to others, or what is missing.
//
// Promise: a peer port that others can reach is never open to whoever finds it; an option that would do nothing is
// refused; files are read once, and nothing is listened on. Left to others: joining (node/join.ts), the port itself
// (src/transport).

import { readFileSync } from "node:fs";
import { parseAddress, type Address } from "../address.ts";
import { optionTable, peerOptionNames, type Options } from "../options.ts";
import type { PeerOptions } from "../node/peering.ts";
import { WrongUsage } from "./failure.ts";

/** A shorter secret could be guessed from one frame that was overheard. */
const secretCharsMin = 16;
const fileBytesMax = 1_000_000;

/** null: the node is alone. Throws WrongUsage. */
export function peerOptions(options: Options): PeerOptions | null {
  if (options.peer === null) {
    const lone = peerOptionNames.find((name) =>
      Array.isArray(options[name]) ? options[name].length > 0 : options[name] !== null,
    );
    if (lone === undefined) return null;
    const { flag } = optionTable[lone];
    throw new WrongUsage(
      `--${flag} needs --peer HOST:PORT: the other nodes of the cluster must reach this one.\n` +
        `On one machine: --peer 127.0.0.1:7490`,
    );
  }
  const peer = addressOf(options.peer);
  if (peer.port === 0)
    throw new WrongUsage(
      "--peer needs a port of its own, not 0: the other nodes remember it over restarts",
    );
  const secret = secretOf(options);
  const tls = tlsOf(options);
  if (!peer.loopback && secret === null && tls === null) throw openToAll(options.peer);
  return {
    listen: peer,
    join: options.join,
    advertisePeer: advertisedPeer(peer, options),
    advertiseHttp: options.advertiseHttp,
    region: regionOf(options),
    secret,
    tls,
  };
}

function openToAll(peer: string): WrongUsage {
  return new WrongUsage(
    `--peer ${peer} can be reached from beyond this machine, and whoever reaches it could become a member of the cluster.\n` +
      "Give every node the same secret:  --cluster-secret-file FILE (for example: openssl rand -hex 32 > FILE)\n" +
      "or certificates of one authority: --peer-tls-cert FILE --peer-tls-key FILE --peer-tls-ca FILE",
  );
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === null) throw new WrongUsage(`An address must be HOST:PORT, got "${text}"`);
  return address;
}

const isWildcard = ({ host }: Address): boolean => host === "0.0.0.0" || host === "::";

/** null: the address that the port is bound to. */
function advertisedPeer(peer: Address, { advertisePeer }: Options): PeerOptions["advertisePeer"] {
  if (advertisePeer === null) {
    if (!isWildcard(peer)) return null;
    throw new WrongUsage(
      `--peer ${peer.host}:${peer.port} is every address of this machine; which one should the other nodes call?\n` +
        "Name it: --advertise-peer HOST:PORT",
    );
  }
  const told = addressOf(advertisePeer);
  if (told.port !== 0 && !isWildcard(told)) return { host: told.host, port: told.port };
  throw new WrongUsage(
    `--advertise-peer must be an address that other nodes can call, got "${advertisePeer}"`,
  );
}

function regionOf({ region }: Options): string | null {
  if (region === null || /^[A-Za-z0-9._-]{1,64}$/.test(region)) return region;
  throw new WrongUsage(
    `--region must have 1 to 64 letters, digits, ".", "_" or "-", got "${region}"`,
  );
}

function secretOf({ clusterSecret, clusterSecretFile }: Options): string | null {
  if (clusterSecret !== null && clusterSecretFile !== null)
    throw new WrongUsage(
      "--cluster-secret and --cluster-secret-file are both given; one is enough",
    );
  const secret =
    clusterSecretFile === null
      ? clusterSecret
      : readText("--cluster-secret-file", clusterSecretFile).trim();
  if (secret === null || secret.length >= secretCharsMin) return secret;
  throw new WrongUsage(
    `The cluster's secret must have ${secretCharsMin} characters or more, it has ${secret.length}`,
  );
}

function tlsOf({ peerTlsCert, peerTlsKey, peerTlsCa }: Options): PeerOptions["tls"] {
  if (peerTlsCert === null && peerTlsKey === null && peerTlsCa === null) return null;
  if (peerTlsCert === null || peerTlsKey === null || peerTlsCa === null)
    throw new WrongUsage(
      "TLS between nodes needs all three: --peer-tls-cert, --peer-tls-key and --peer-tls-ca",
    );
  return {
    cert: readText("--peer-tls-cert", peerTlsCert),
    key: readText("--peer-tls-key", peerTlsKey),
    ca: readText("--peer-tls-ca", peerTlsCa),
  };
}

function readText(flag: string, file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    if (text.length <= fileBytesMax) return text;
    throw new WrongUsage(`${flag} ${file} has ${text.length} characters, at most ${fileBytesMax}`);
  } catch (fault) {
    if (fault instanceof WrongUsage) throw fault;
    const why = fault instanceof Error && "code" in fault ? String(fault.code) : String(fault);
    throw new WrongUsage(`Cannot read ${flag} ${file}: ${why}`);
  }
}
