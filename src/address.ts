// HOST:PORT as an operator writes it, and whether it can be reached from beyond this machine.

export interface Address {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Only this machine can reach it. */
  readonly loopback: boolean;
}

/** Reads "127.0.0.1:7480", "[::1]:7480", "localhost:0" or ":7480" (this machine); null when it is none of them. */
export function parseAddress(text: string): Address | null {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]*)):(\d{1,5})$/.exec(text);
  if (parts === null) return null;
  const port = Number(parts[3]);
  if (port > 65_535) return null;
  const host = parts[1] ?? (parts[2] === "" ? "127.0.0.1" : parts[2]);
  return { host, port, loopback: isLoopback(host) };
}

/** A host that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** As parseAddress() reads it: an IPv6 host in brackets. */
export function addressText({ host, port }: Pick<Address, "host" | "port">): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
