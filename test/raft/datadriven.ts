// Reads and runs golden scripts: commands with the output they must give, in the form of cockroachdb/datadriven that
// etcd/raft's scripts have.
//
//      # a comment
//      command argument key=value key=(v1,v2)
//      input lines
//      ----
//      expected output, up to an empty line
//
// Promise: scripts are run in order against one handler; rewrite() gives the file with the actual output in place, all
// else untouched. Left to others: what the commands do.

export interface Argument {
  readonly key: string;
  readonly values: readonly string[];
}

export interface Stanza {
  readonly command: string;
  readonly args: readonly Argument[];
  readonly input: string;
  readonly expected: string;
  /** 1-based line of the command. */
  readonly line: number;
}

interface Parsed extends Stanza {
  /** Lines of the expected output, [start, end). */
  readonly start: number;
  readonly end: number;
}

export function parseScript(text: string): readonly Parsed[] {
  const lines = text.split("\n");
  const stanzas: Parsed[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (line.trim() === "" || line.startsWith("#")) {
      at++;
      continue;
    }
    const stanza = parseStanza(lines, at);
    stanzas.push(stanza);
    at = stanza.end;
  }
  return stanzas;
}

function parseStanza(lines: readonly string[], at: number): Parsed {
  const rule = lines.indexOf("----", at);
  if (rule < 0) throw new Error(`line ${at + 1}: no ---- follows ${lines[at]}`);
  let end = rule + 1;
  while (end < lines.length && lines[end].trim() !== "") end++;
  const [command, ...args] = words(lines[at]);
  return {
    command,
    args: args.map(parseArgument),
    input: lines.slice(at + 1, rule).join("\n"),
    expected: lines.slice(rule + 1, end).join("\n"),
    line: at + 1,
    start: rule + 1,
    end,
  };
}

/** Split at blanks, except inside parentheses. */
function words(line: string): string[] {
  return line.match(/(?:\([^)]*\)|\S)+/g) ?? [];
}

function parseArgument(word: string): Argument {
  const equals = word.indexOf("=");
  if (equals < 0) return { key: word, values: [] };
  const value = word.slice(equals + 1);
  const list = value.startsWith("(") ? value.slice(1, -1).split(/[,\s]+/) : [value];
  return { key: word.slice(0, equals), values: list.filter((each) => each !== "") };
}

/** Output of a handler, without trailing line ends; what a script shows. */
export type Handler = (stanza: Stanza) => string;

export interface Mismatch {
  readonly line: number;
  readonly command: string;
  readonly expected: string;
  readonly actual: string;
}

/** The first stanza whose output differs, both sides passed through `normal`; null when all agree. */
export function runScript(
  text: string,
  handler: Handler,
  normal: (output: string) => string = (output) => output,
): Mismatch | null {
  for (const stanza of parseScript(text)) {
    const actual = normal(handler(stanza).trimEnd());
    const expected = normal(stanza.expected);
    if (actual !== expected) {
      return { line: stanza.line, command: stanza.command, expected, actual };
    }
  }
  return null;
}

/** The script with its expected outputs replaced by what the handler gives. */
export function rewriteScript(text: string, handler: Handler): string {
  const lines = text.split("\n");
  const parts: string[] = [];
  let copied = 0;
  for (const stanza of parseScript(text)) {
    parts.push(...lines.slice(copied, stanza.start), handler(stanza).trimEnd());
    copied = stanza.end;
  }
  return [...parts, ...lines.slice(copied)].join("\n");
}

/** Values of one key, none when it is absent. */
export function valuesOf(stanza: Stanza, key: string): readonly string[] {
  return stanza.args.find((each) => each.key === key)?.values ?? [];
}

/** The arguments that are plain numbers. */
export function numbersOf(stanza: Stanza): number[] {
  return stanza.args.filter(({ values }) => values.length === 0).map(({ key }) => Number(key));
}
