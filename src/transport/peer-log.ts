// Where the transport tells what a person should know; the node's log fits.

export interface PeerLog {
  write(
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields?: Readonly<Record<string, unknown>>,
  ): void;
}
