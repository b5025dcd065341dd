// What holds for every file, as functions from a file's text to its faults: tidy.test.ts runs them over the tree and,
// each with a planted fault, over made-up files.
//
// Lengths of functions need a parser and are oxlint's (oxlintrc.json beside this file); everything else is text.

export interface SourceFile {
  /** From the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** Which part may import which; "." stands for files directly in src/. A part may always import itself. */
export const directions: Readonly<Record<string, readonly string[]>> = {
  raft: [],
  "src/bytes": ["."],
  "src/records": ["src/bytes", "."],
  "src/journal": ["src/records", "src/bytes", "drizzle", "."],
  "src/transport": ["src/bytes", "."],
  "src/consensus": ["raft", "src/transport", "src/journal", "src/bytes", "."],
  "src/partition": ["src/consensus", "src/journal", "src/records", "src/bytes", "."],
  "src/cluster": [
    "src/transport",
    "src/consensus",
    "src/journal",
    "src/records",
    "src/bytes",
    "drizzle",
    ".",
  ],
  "src/broker": [
    "src/partition",
    "src/cluster",
    "src/transport",
    "src/consensus",
    "src/journal",
    "src/records",
    "src/bytes",
    ".",
  ],
  "edge/contract": ["."],
  "edge/client": ["edge/contract"],
  "edge/server": ["edge/contract", "src/broker", "src/cluster", "src/records", "src/bytes", "."],
  edge: ["edge/server", "edge/contract", "."],
  // The composition root knows everything, and those who start a node know it.
  "src/node": [
    "edge",
    "edge/server",
    "src/broker",
    "src/cluster",
    "src/transport",
    "src/consensus",
    "src/journal",
    "src/bytes",
    ".",
  ],
  "src/cli": ["src/node", "src/cluster", "src/journal", "edge/client", "."],
  "src/testing": ["src/node", "src/cluster", "src/transport", "src/journal", "edge", "."],
  "src/launcher": [],
  drizzle: [],
};

/** Files in src/ itself are the ground that all stand on; these two stand on others. */
const roofs: Readonly<Record<string, readonly string[]>> = {
  "src/main.ts": ["src/cli"],
  "src/options.ts": [],
};

export const fileLinesMax = 600;

/** Every fault of one file, "path: what is wrong". */
export function faultsOf(file: SourceFile): string[] {
  const rules = [direction, head, length, name, outward, types, words, places];
  return rules.flatMap((rule) => rule(file)).map((fault) => `${file.path}: ${fault}`);
}

const isSource = ({ path }: SourceFile): boolean => /^(src|raft|edge|drizzle)\//.test(path);
const isScript = ({ path }: SourceFile): boolean => /\.(ts|js)$/.test(path);

export function direction(file: SourceFile): string[] {
  if (!isSource(file) || !isScript(file)) return [];
  const from = partOf(file.path);
  const allowed = roofs[file.path] ?? directions[from] ?? (from === "." ? [] : null);
  if (allowed === null) return [`the folder ${from} has no row in the table of directions`];
  return importsOf(file)
    .map(partOf)
    .filter((to) => to !== from && !allowed.includes(to))
    .map((to) => `${from} must not import from ${to}`);
}

/** Relative imports, as paths from the root. */
function importsOf({ path, text }: SourceFile): string[] {
  const found = text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g);
  const folder = path.split("/").slice(0, -1);
  return [...found].map(([, to]) => {
    const steps = [...folder];
    for (const step of to.split("/"))
      if (step === "..") steps.pop();
      else if (step !== ".") steps.push(step);
    return steps.join("/");
  });
}

/** "src/journal" for everything below it, "." for files of src/ itself and package.json. */
function partOf(path: string): string {
  const [top, next, below] = path.split("/");
  if (next === undefined) return ".";
  if (top === "src") return below === undefined ? "." : `src/${next}`;
  if (top === "edge") return below === undefined ? "edge" : `edge/${next}`;
  return top;
}

export function head(file: SourceFile): string[] {
  if (!isScript(file) || file.path.endsWith(".test.ts")) return [];
  const first = file.text.replace(/^#!.*\n/, "");
  return first.startsWith("// ") ? [] : ["opens without a head comment"];
}

export function length({ path, text }: SourceFile): string[] {
  const lines = text.split("\n").length - 1;
  const exempt = /\.(lock|json|sql|txt|md)$/.test(path) || path === "LICENSE";
  return lines > fileLinesMax && !exempt ? [`has ${lines} lines, at most ${fileLinesMax}`] : [];
}

export function name({ path }: SourceFile): string[] {
  const file = path.split("/").at(-1) ?? "";
  const banned = /(^|[-_.])(utils?|helpers?|common|misc|manager)([-_.]|$)/.test(
    path.replaceAll("/", "-"),
  );
  const kebab = !/\.(ts|js)$/.test(file) || /^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.(ts|js)$/.test(file);
  return [
    ...(banned ? ["has a name that says nothing: utils, helpers, common, misc, manager"] : []),
    ...(kebab ? [] : ["is not named in kebab-case"]),
  ];
}

/** The world and the adapters to a runtime; each is named, no folder is let off. */
const adapters = new Set([
  "src/world.ts",
  "src/cli/terminal.ts",
  "src/launcher/rivulet.js",
  "src/node/port-owner.ts",
  "edge/serve-bun.ts",
  "edge/serve-deno.ts",
]);

export function outward(file: SourceFile): string[] {
  if (!isSource(file) || adapters.has(file.path) || file.path.startsWith("edge/client/")) return [];
  const banned =
    /\b(Date\.now|performance\.now|setTimeout|setInterval|setImmediate|queueMicrotask|Math\.random|getRandomValues|randomUUID|AbortSignal\.timeout|new Date\(\))/g;
  return [...withoutComments(file.text).matchAll(banned)].map(
    ([, call]) => `uses ${call}: clock, timers and random come from the World`,
  );
}

export function types(file: SourceFile): string[] {
  if (!file.path.endsWith(".ts")) return [];
  const code = withoutComments(file.text);
  const directive = /@ts-(?:ignore|expect-error|nocheck)\b/.exec(file.text);
  return [
    ...(/(?:[:<|&,]\s*|\bas\s+)any\b(?!\s*[:(])/.test(code) ? ["uses the type any"] : []),
    ...(directive !== null ? [`uses ${directive[0]}`] : []),
  ];
}

export function words({ text }: SourceFile): string[] {
  const found = /\b(TODO|FIXME|XXX|HACK)\b/.exec(text);
  return found === null ? [] : [`holds ${found[0]}: do it, or write down why not`];
}

export function places({ path, text }: SourceFile): string[] {
  const machine = /["'`\s(](\/(?:work|root|home\/\w+|Users\/\w+)\/[\w.-]*)/.exec(text);
  const registry = /\bregistry\.(?!ts\b)[a-z]+|\/\/[a-z.]*npm[a-z]*\.(?:org|com)/.exec(text);
  const resolved = /lock(?:\.json)?$/.test(path)
    ? /"resolved"|https?:\/\/[^"]*\.tgz/.exec(text)
    : null;
  return [
    ...(machine === null ? [] : [`names a path of a machine: ${machine[1]}`]),
    ...(registry === null ? [] : [`names a registry: ${registry[0]}`]),
    ...(resolved === null ? [] : [`names where a package came from: ${resolved[0]}`]),
  ];
}

/** Line and block comments blanked; texts stay. Good enough to look for calls, not to compile. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|[\s;{}(,])\/\/.*$/gm, "$1");
}

/** Folders that the README's map must name: those below src and edge, and the other tops. */
export function unmapped(readme: string, paths: readonly string[]): string[] {
  const parts = new Set(
    paths.filter((path) => /^(src|raft|edge|drizzle|test)\//.test(path)).map(mapped),
  );
  return [...parts].filter((part) => part !== "" && !readme.includes(`| \`${part}\``));
}

function mapped(path: string): string {
  const [top, next, below] = path.split("/");
  if (top !== "src" && top !== "edge") return top;
  return below === undefined ? "" : `${top}/${next}`;
}
