// Certificates for tests and benches, made here: X.509 is written by hand, so that no program beside the runtime is needed.

import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import type { PeerTls } from "../../src/transport/peer-auth.ts";

const made = new Map<string, PeerTls>();

/** A node's key and certificate for 127.0.0.1 and localhost, valid for some days, issued by an authority of that name. The
 *  same each time in one process. */
export function tlsOf(authority: string): PeerTls {
  const known = made.get(authority);
  if (known !== undefined) return known;
  const ca = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const node = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = { name: `authority ${authority}`, key: ca.privateKey };
  const tls: PeerTls = {
    cert: certificate({
      subject: "node",
      publicKey: node.publicKey,
      issuer,
      extensions: nodeNames,
    }),
    key: node.privateKey.export({ type: "pkcs8", format: "pem" }),
    ca: certificate({
      subject: issuer.name,
      publicKey: ca.publicKey,
      issuer,
      extensions: isAuthority,
    }),
  };
  made.set(authority, tls);
  return tls;
}

/** A node's certificate that the authority did not issue itself, but a link between them: an authority of its own, or a
 *  mere node that plays one. The link's certificate stands behind the node's. */
export function chainedTls({ link }: { readonly link: "authority" | "node" }): PeerTls {
  const [root, middle, node] = [0, 1, 2].map(() =>
    generateKeyPairSync("ec", { namedCurve: "P-256" }),
  );
  const rootIssuer = { name: "root", key: root.privateKey };
  const middleIssuer = { name: "link", key: middle.privateKey };
  const names = { authority: isAuthority, node: nodeNames };
  const own = { subject: "node", publicKey: node.publicKey, issuer: middleIssuer };
  const chain = [
    certificate({ ...own, extensions: nodeNames }),
    certificate({
      subject: "link",
      publicKey: middle.publicKey,
      issuer: rootIssuer,
      extensions: names[link],
    }),
  ];
  return {
    cert: chain.join(""),
    key: node.privateKey.export({ type: "pkcs8", format: "pem" }),
    ca: certificate({
      subject: "root",
      publicKey: root.publicKey,
      issuer: rootIssuer,
      extensions: isAuthority,
    }),
  };
}

// DER: type, length, content.

const der = (type: number, ...parts: readonly Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts);
  const { length } = content;
  // The shortest form of a length is the only right one.
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([type, ...(length < 128 ? [length] : long)]), content]);
};

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const objectId = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
const bits = (bytes: Uint8Array): Buffer => der(0x03, Buffer.of(0), bytes);
const truth = der(0x01, Buffer.of(255));

const ecdsaWithSha256 = sequence(objectId("2a8648ce3d040302"));
const commonName = objectId("550403");

const nameOf = (text: string): Buffer =>
  sequence(der(0x31, sequence(commonName, der(0x0c, Buffer.from(text)))));

/** UTCTime: two digits each of year, month, day, hour, minute, second. */
const timeOf = (ms: number): Buffer =>
  der(0x17, Buffer.from(`${new Date(ms).toISOString().replaceAll(/[-:T]/g, "").slice(2, 14)}Z`));

const extension = (id: string, ...rest: readonly Uint8Array[]): Buffer =>
  sequence(objectId(id), ...rest);

/** Basic constraints: an authority; key usage: signs certificates. Both critical. */
const isAuthority = [
  extension("551d13", truth, der(0x04, sequence(truth))),
  extension("551d0f", truth, der(0x04, der(0x03, Buffer.of(1, 6)))),
];

/** Alternative names. */
const nodeNames = [
  extension(
    "551d11",
    der(0x04, sequence(der(0x82, Buffer.from("localhost")), der(0x87, Buffer.of(127, 0, 0, 1)))),
  ),
];

function certificate(options: {
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly issuer: { readonly name: string; readonly key: KeyObject };
  readonly extensions: readonly Uint8Array[];
}): string {
  const { subject, publicKey, issuer, extensions } = options;
  const day = 86_400_000;
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    // A positive number of 16 bytes.
    der(0x02, Buffer.of(1), randomBytes(15)),
    ecdsaWithSha256,
    nameOf(issuer.name),
    sequence(timeOf(Date.now() - day), timeOf(Date.now() + 30 * day)),
    nameOf(subject),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = sign("sha256", toBeSigned, issuer.key);
  const base64 = sequence(toBeSigned, ecdsaWithSha256, bits(signature)).toString("base64");
  const lines = base64.match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}
