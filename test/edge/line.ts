// A raw connection of a test: bytes go out as they are, what comes is kept as text.

import { connect, type Socket } from "node:net";

/** A connection and what has come over it. */
export class Line {
  readonly socket: Socket;
  text = "";
  closed = false;
  #changed: () => void = () => undefined;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (bytes) => {
      this.text += bytes.toString("latin1");
      this.#changed();
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.closed = true;
      this.#changed();
    });
  }

  send(text: string): void {
    this.socket.write(text);
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  async answer(): Promise<string> {
    await this.until(() => this.closed || this.#whole());
    return this.text;
  }

  #whole(): boolean {
    const head = this.text.indexOf("\r\n\r\n");
    const length = /content-length: (\d+)/i.exec(this.text)?.[1];
    return head >= 0 && this.text.length >= head + 4 + Number(length ?? 0);
  }
}
