// Reads server-sent events as the specification says (WHATWG HTML 9.2.6), one at a time.

export interface TailEvent {
  readonly type: string;
  readonly id: string;
  readonly data: string;
}

export class EventReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";
  #id = "";

  constructor(response: Response) {
    this.#reader = response.body!.getReader();
  }

  /** The next event, or null when the stream has ended. */
  async next(): Promise<TailEvent | null> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const block = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        const event = this.#parse(block);
        if (event !== null) return event;
        continue;
      }
      const { done, value } = await this.#reader.read();
      if (done) return null;
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }

  /** The next event of records, with its JSON. */
  async record(): Promise<{
    readonly id: string;
    readonly json: Readonly<Record<string, unknown>>;
  }> {
    for (;;) {
      const event = await this.next();
      if (event === null) throw new Error("The tail has ended");
      if (event.type !== "message") continue;
      return { id: event.id, json: JSON.parse(event.data) as Record<string, unknown> };
    }
  }

  /** The next piece as it comes off the wire. */
  async bytes(): Promise<string> {
    const { value } = await this.#reader.read();
    return new TextDecoder().decode(value);
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }

  #parse(block: string): TailEvent | null {
    let type = "message";
    const data: string[] = [];
    for (const line of block.split(/\r\n|\r|\n/)) {
      const [, name = "", value = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (name === "event") type = value;
      else if (name === "data") data.push(value);
      else if (name === "id") this.#id = value;
    }
    return data.length === 0 ? null : { type, id: this.#id, data: data.join("\n") };
  }
}
