// Who listens on a port of this machine, for the message of the one who could not.
//
// Promise: a best guess in words, or null; never throws, never waits long. Only for a person.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** "a Rivulet node", "nginx (pid 4711)", or null when it cannot be told. */
export async function portOwner(host: string, port: number): Promise<string | null> {
  const process = listeningProcess(port);
  const pid = process === null ? "" : ` (${process})`;
  if (await isRivulet(host, port)) return `another Rivulet node${pid}`;
  return process;
}

async function isRivulet(host: string, port: number): Promise<boolean> {
  try {
    const name = host.includes(":") ? `[${host}]` : host;
    const response = await fetch(`http://${name}:${port}/livez`, {
      signal: AbortSignal.timeout(1_000),
    });
    await response.body?.cancel();
    return response.headers.has("rivulet-version");
  } catch {
    return false;
  }
}

/** Linux only: the socket's inode from /proc/net, then the process that has it open. */
function listeningProcess(port: number): string | null {
  const inodes = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) => listeningInodes(file, port));
  if (inodes.length === 0) return null;
  const wanted = new Set(inodes.map((inode) => `socket:[${inode}]`));
  const pid = list("/proc").find((name) => /^\d+$/.test(name) && holds(name, wanted));
  if (pid === undefined) return null;
  return `${read(`/proc/${pid}/comm`).trim()}, pid ${pid}`;
}

function listeningInodes(file: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return read(file)
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = "", , state]) => state === "0A" && local.endsWith(`:${hex}`))
    .map((columns) => columns[9]);
}

function holds(pid: string, sockets: ReadonlySet<string>): boolean {
  return list(`/proc/${pid}/fd`).some((fd) => sockets.has(link(`/proc/${pid}/fd/${fd}`)));
}

function list(folder: string): string[] {
  return orElse(() => readdirSync(folder), []);
}

function read(file: string): string {
  return orElse(() => readFileSync(file, "utf8"), "");
}

function link(file: string): string {
  return orElse(() => readlinkSync(file), "");
}

/** Processes come and go, and some may not be looked at. */
function orElse<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch {
    return otherwise;
  }
}
