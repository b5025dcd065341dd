// A strict JSON reader over text (RFC 8259): a cursor with one method a token.
//
// Why not JSON.parse: it forgets a number's digits (1e400, 12345678901234567890, 1.0), where a value's text began and
// ended, and that a name came twice. Promise: no recursion, nesting bounded by `depthMax`; every character is looked at
// once; malformed text ends in one JsonFault that names line and column. Left to others: what the values mean.

/** The text is not JSON, or nests too deep. Thrown by the reader, caught where the reading began. */
export class JsonFault extends Error {
  override readonly name = "JsonFault";
  readonly column: number;
  /** What was wanted and found there. */
  readonly what: string;

  constructor({ line, column }: { readonly line: number; readonly column: number }, what: string) {
    super(`line ${line}, column ${column}: ${what}`);
    this.column = column;
    this.what = what;
  }
}

/** Levels of [] and {} that a body may have. */
export const depthMax = 256;

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
// oxlint-disable-next-line no-control-regex
const unplain = /[\\\u0000-\u001f]/;
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

export type JsonKind = "text" | "object" | "list" | "number" | "null" | "boolean";

export class JsonReader {
  readonly text: string;
  at = 0;
  /** The last text() or name() held an escape: only then can it hold a lone surrogate. */
  escaped = false;
  /** No escape and no control character in the whole text, so that its strings need not be looked through one by one. */
  readonly #plain: boolean;

  constructor(text: string) {
    this.text = text;
    this.#plain = !unplain.test(text);
  }

  /** What comes next. */
  kind(): JsonKind {
    switch (this.#peek()) {
      case quote:
        return "text";
      case openBrace:
        return "object";
      case openBracket:
        return "list";
      case 0x6e:
        return "null";
      case 0x74:
      case 0x66:
        return "boolean";
      default:
        return "number";
    }
  }

  /** Steps into an object (or list); more() then says whether a member comes. */
  open(kind: "object" | "list"): void {
    this.#take(kind === "object" ? openBrace : openBracket, kind === "object" ? '"{"' : '"["');
  }

  /** True when another member follows, with its comma eaten; false with the end eaten. `first`: none was read yet. */
  more(kind: "object" | "list", first: boolean): boolean {
    const end = kind === "object" ? closeBrace : closeBracket;
    const next = this.#peek();
    if (next === end) {
      this.at++;
      return false;
    }
    if (first) return true;
    if (next !== 0x2c) this.fail(kind === "object" ? '"," or "}"' : '"," or "]"');
    this.at++;
    return true;
  }

  /** A member's name, its colon eaten. */
  name(): string {
    const name = this.string();
    this.#take(0x3a, '":"');
    return name;
  }

  string(): string {
    this.#take(quote, "a string");
    const start = this.at;
    this.escaped = false;
    const end = this.#endOfString();
    this.at = end + 1;
    if (!this.escaped) return this.text.slice(start, end);
    // The platform's parser unescapes: what is between the quotes was checked for control characters already.
    return this.#unescaped(start - 1, end + 1);
  }

  /** The digits as they stand. */
  number(): string {
    this.#peek();
    number.lastIndex = this.at;
    const found = number.exec(this.text)?.[0];
    if (found === undefined) return this.fail("a value");
    this.at += found.length;
    return found;
  }

  literal(word: "null" | "true" | "false"): void {
    this.#peek();
    if (!this.text.startsWith(word, this.at)) this.fail("a value");
    this.at += word.length;
  }

  /** Passes over a value of any kind and returns its text, without the white space around it. */
  raw(): string {
    this.#peek();
    const start = this.at;
    this.#skip();
    return this.text.slice(start, this.at);
  }

  /** Nothing but white space may follow. */
  end(): void {
    this.#peek();
    if (this.at < this.text.length) this.fail("the end of the body");
  }

  fail(wanted: string): never {
    const before = this.text.slice(0, this.at);
    const line = before.split("\n").length;
    const column = this.at - before.lastIndexOf("\n");
    const found = this.text[this.at];
    const what = found === undefined ? "the end of the body" : JSON.stringify(found);
    throw new JsonFault({ line, column }, `wanted ${wanted}, found ${what}`);
  }

  /** The next character that is no white space, not eaten; NaN at the end. */
  #peek(): number {
    for (;;) {
      const unit = this.text.charCodeAt(this.at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return unit;
      this.at++;
    }
  }

  #take(unit: number, wanted: string): void {
    if (this.#peek() !== unit) this.fail(wanted);
    this.at++;
  }

  /** Position of the closing quote; `at` is behind the opening one. Plain text is searched by the platform; only what
   *  holds an escape or a control character is walked. */
  #endOfString(): number {
    const { text, at } = this;
    const end = text.indexOf('"', at);
    if (end >= 0 && (this.#plain || !unplain.test(text.slice(at, end)))) return end;
    return this.#walkString();
  }

  #walkString(): number {
    const { text } = this;
    for (let i = this.at; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit === quote) return i;
      if (unit === backslash) {
        this.escaped = true;
        i++;
      } else if (unit < 0x20) {
        this.at = i;
        return this.fail("an escaped control character");
      }
    }
    this.at = text.length;
    return this.fail('the closing """');
  }

  #unescaped(start: number, end: number): string {
    try {
      return JSON.parse(this.text.slice(start, end)) as string;
    } catch {
      this.at = start;
      return this.fail("a string whose escapes are JSON's");
    }
  }

  /** A value of any kind, without recursion: `ends` is the stack of what is open. */
  #skip(): void {
    const open: ("object" | "list")[] = [];
    let first = true;
    for (;;) {
      const kind = open.at(-1);
      if (kind === undefined || this.more(kind, first)) {
        if (kind === "object") this.name();
        first = this.#skipToken(open);
      } else {
        open.pop();
        first = false;
      }
      if (open.length === 0) return;
    }
  }

  /** True when the token opened an object or a list. */
  #skipToken(open: ("object" | "list")[]): boolean {
    const kind = this.kind();
    if (kind === "object" || kind === "list") {
      if (open.length >= depthMax) this.fail(`at most ${depthMax} levels`);
      this.open(kind);
      open.push(kind);
      return true;
    }
    this.scalar(kind);
    return false;
  }

  /** A text, number, boolean or null as its value; numbers become doubles. */
  scalar(kind: "text" | "number" | "null" | "boolean"): string | number | boolean | null {
    if (kind === "text") return this.string();
    if (kind === "number") return Number(this.number());
    if (kind === "null") {
      this.literal("null");
      return null;
    }
    const truth = this.text.startsWith("true", this.at);
    this.literal(truth ? "true" : "false");
    return truth;
  }
}

/** A whole small body as plain values, or JsonFault: no name twice, at most `depthMax` levels. Objects have no prototype
 *  that a member could reach. */
export function parseStrictJson(text: string): unknown {
  const reader = new JsonReader(text);
  const value = readValue(reader, 0);
  reader.end();
  return value;
}

/** True when the text is one JSON value and nothing else. No value is built. */
export function isJson(text: string): boolean {
  try {
    const reader = new JsonReader(text);
    reader.raw();
    reader.end();
    return true;
  } catch (thrown) {
    if (thrown instanceof JsonFault) return false;
    throw thrown;
  }
}

/** Recursion is bounded by depthMax. */
function readValue(reader: JsonReader, depth: number): unknown {
  const kind = reader.kind();
  if (kind !== "object" && kind !== "list") return reader.scalar(kind);
  if (depth >= depthMax) reader.fail(`at most ${depthMax} levels`);
  reader.open(kind);
  return kind === "object" ? readObject(reader, depth) : readList(reader, depth);
}

function readObject(reader: JsonReader, depth: number): unknown {
  const object = Object.create(null) as Record<string, unknown>;
  for (let first = true; reader.more("object", first); first = false) {
    const name = reader.name();
    if (Object.hasOwn(object, name)) reader.fail(`"${name.slice(0, 80)}" once`);
    object[name] = readValue(reader, depth + 1);
  }
  return object;
}

function readList(reader: JsonReader, depth: number): unknown {
  const list: unknown[] = [];
  for (let first = true; reader.more("list", first); first = false) {
    list.push(readValue(reader, depth + 1));
  }
  return list;
}
