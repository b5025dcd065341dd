// Server-sent events out of bytes as they arrive (WHATWG HTML, 9.2.6): pure, fed piece by piece.
//
// Promise: pieces may be cut anywhere, inside a character too; an event whose empty line has not come is not told, so
// that a connection that breaks in the middle of a record loses nothing: the resume brings it whole.

export interface ServerEvent {
  /** "message" for unnamed events. */
  readonly type: string;
  readonly data: string;
  /** The last id seen, of this event or an earlier one. */
  readonly id: string;
}

export class EventParser {
  readonly #decoder = new TextDecoder();
  #rest = "";
  /** The piece before ended in CR: a LF that comes first belongs to it. */
  #afterReturn = false;
  #type = "";
  #data: string[] = [];
  #id = "";

  /** The events that are complete now. */
  push(bytes: Uint8Array): ServerEvent[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return [];
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1);
    this.#afterReturn = text.endsWith("\r");
    // Only what is new is searched: a record of 16 MB comes in hundreds of pieces.
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop() ?? "";
    const events: ServerEvent[] = [];
    for (const line of lines) {
      if (line !== "") this.#field(line);
      else if (this.#type !== "" || this.#data.length > 0) events.push(this.#take());
    }
    return events;
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
  }

  #take(): ServerEvent {
    const event = {
      type: this.#type === "" ? "message" : this.#type,
      data: this.#data.join("\n"),
      id: this.#id,
    };
    this.#type = "";
    this.#data = [];
    return event;
  }
}
