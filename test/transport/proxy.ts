// A proxy of bytes between two nodes, for faults of the network between real sockets.

import { connect, createServer, type Server, type Socket } from "node:net";

export class Proxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Pairs that forward while not paused. */
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #paused = false;
  /** Answers who speaks HTTP/2 like a proxy that knows HTTP/1.1 alone. */
  onlyHttp1 = false;
  readonly port: number;

  private constructor(server: Server) {
    const address = server.address();
    this.#server = server;
    this.port = typeof address === "object" ? (address?.port ?? 0) : 0;
  }

  /** Listens on loopback; `own` 0: on a free port. */
  static async to(port: number, own = 0): Promise<Proxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(own, "127.0.0.1", resolve));
    const proxy = new Proxy(server);
    server.on("connection", (socket) => proxy.#accept(socket, port));
    return proxy;
  }

  get address(): { host: string; port: number } {
    return { host: "127.0.0.1", port: this.port };
  }

  /** Nothing passes and nothing is closed, as behind a cable that was pulled. */
  pause(): void {
    this.#paused = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  resume(): void {
    this.#paused = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  /** Ends every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket, port: number): void {
    const other = connect(port, "127.0.0.1");
    const pair = [socket, other] as const;
    this.#pairs.add(pair);
    let isFirst = true;
    for (const [from, to] of [pair, [other, socket]] as const) {
      this.#sockets.add(from);
      from.on("data", (bytes: Buffer) => {
        const opens = isFirst && from === socket;
        if (opens) isFirst = false;
        if (opens && this.onlyHttp1 && bytes.toString().startsWith("PRI *"))
          socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        else to.write(bytes);
      });
      from.on("error", () => to.destroy());
      from.on("close", () => {
        to.destroy();
        this.#sockets.delete(from);
        this.#pairs.delete(pair);
      });
      if (this.#paused) from.pause();
    }
  }
}
