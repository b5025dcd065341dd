// Certificates for tests: made once a run by openssl, in a temporary folder that the run's end removes.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PeerTls } from "../../src/transport/peer-auth.ts";

const made = new Map<string, PeerTls>();

/** A node's key and certificate for 127.0.0.1, issued by an authority of that name. The same each time in one run. */
export function tlsOf(authority: string): PeerTls {
  const known = made.get(authority);
  if (known !== undefined) return known;
  const folder = mkdtempSync(join(tmpdir(), "rivulet-tls-"));
  try {
    const tls = make(folder, authority);
    made.set(authority, tls);
    return tls;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function make(folder: string, authority: string): PeerTls {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl(folder, [
    "req -x509 -keyout ca.key -out ca.crt -days 30".split(" "),
    key,
    ["-subj", `/CN=authority ${authority}`, "-addext", "basicConstraints=critical,CA:TRUE"],
  ]);
  openssl(folder, ["req -keyout node.key -out node.csr".split(" "), key, ["-subj", "/CN=node"]]);
  writeFileSync(join(folder, "names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  const sign = "x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30";
  openssl(folder, [sign.split(" "), "-extfile names -out node.crt".split(" ")]);
  const read = (file: string): string => readFileSync(join(folder, file), "utf8");
  return { cert: read("node.crt"), key: read("node.key"), ca: read("ca.crt") };
}

function openssl(folder: string, args: readonly (readonly string[])[]): void {
  const ran = Bun.spawnSync(["openssl", ...args.flat()], { cwd: folder, stderr: "pipe" });
  if (ran.exitCode !== 0) throw new Error(`openssl failed: ${ran.stderr.toString()}`);
}
