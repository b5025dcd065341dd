// Server-sent events, read from a response's body as the HTML standard says (section 9.2).
//
// Promise: any line ending, comments skipped, several data lines joined, an event cut off by the end is dropped.

export interface ServerEvent {
  /** "message" unless the server named it. */
  readonly event: string;
  readonly data: string;
  /** The event's own id; null when it has none. */
  readonly id: string | null;
}

/** The events of a body, in order: those that became whole with one chunk come together. Leaving the loop ends the
 *  chunks. */
export async function* eventGroups(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<readonly ServerEvent[]> {
  let fields = noFields();
  for await (const lines of lineGroups(body)) {
    const events: ServerEvent[] = [];
    for (const line of lines) {
      if (line !== "") take(fields, line);
      else {
        if (fields.data !== null || fields.event !== "message")
          events.push({ event: fields.event, data: fields.data ?? "", id: fields.id });
        fields = noFields();
      }
    }
    if (events.length > 0) yield events;
  }
}

interface Fields {
  event: string;
  data: string | null;
  id: string | null;
}

const noFields = (): Fields => ({ event: "message", data: null, id: null });

function take(fields: Fields, line: string): void {
  const colon = line.indexOf(":");
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
  if (name === "data") fields.data = fields.data === null ? value : `${fields.data}\n${value}`;
  else if (name === "event") fields.event = value;
  else if (name === "id") fields.id = value;
}

async function* lineGroups(body: AsyncIterable<Uint8Array>): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const text = rest + decoder.decode(chunk, { stream: true });
    // A carriage return at the very end may be half of a line ending.
    const held = text.endsWith("\r") ? 1 : 0;
    const lines = text.slice(0, text.length - held).split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? "") + text.slice(text.length - held);
    yield lines;
  }
}
