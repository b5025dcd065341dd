// Packs this folder as @rivulet/client: one module, its types, its README; no dependency.
//
//   bun edge/client/pack.ts DIR     DIR is made, ready for `npm pack` or `npm install`; the sizes are printed
//
// Promise: nothing is written but in DIR. A script of the repository, not a part of the client.

import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const here = import.meta.dirname;
const top = join(here, "../..");
const root = JSON.parse(readFileSync(join(top, "package.json"), "utf8")) as Record<string, unknown>;

export interface Sizes {
  /** Bytes of the module as packed, its comments among them. */
  readonly packed: number;
  readonly minified: number;
  /** Minified, then gzip: what a page loads and a Worker counts. */
  readonly gzipped: number;
}

const manifest = {
  name: "@rivulet/client",
  version: root["version"],
  description: "Client of Rivulet, a distributed commit log: fetch alone, no dependency",
  keywords: ["rivulet", "commit-log", "event-streaming", "edge", "workers"],
  license: root["license"],
  type: "module",
  sideEffects: false,
  engines: root["engines"],
  exports: { ".": { types: "./types/client/client.d.ts", default: "./client.js" } },
  files: ["client.js", "types"],
} as const;

/** Rejects when the client does not build. */
export async function pack(dir: string): Promise<Sizes> {
  mkdirSync(dir, { recursive: true });
  const text = await bundle("readable");
  writeFileSync(join(dir, "client.js"), text);
  writeFileSync(join(dir, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  cpSync(join(here, "README.md"), join(dir, "README.md"));
  cpSync(join(top, "LICENSE"), join(dir, "LICENSE"));
  await writeTypes(join(dir, "types"));
  const minified = await bundle("minified");
  return {
    packed: Buffer.byteLength(text),
    minified: Buffer.byteLength(minified),
    gzipped: gzipSync(minified, { level: 9 }).length,
  };
}

/** The client as one module of the web platform. */
export async function bundle(form: "readable" | "minified"): Promise<string> {
  const { outputs } = await Bun.build({
    entrypoints: [join(here, "client.ts")],
    target: "browser",
    minify: form === "minified",
  });
  return await outputs[0].text();
}

async function writeTypes(dir: string): Promise<void> {
  const flags = [
    "--ignoreConfig --declaration --emitDeclarationOnly --allowImportingTsExtensions --strict",
    "--skipLibCheck --target esnext --module preserve --moduleResolution bundler",
    "--lib esnext,dom,dom.iterable",
  ].flatMap((line) => line.split(" "));
  const places = ["--types", "", "--rootDir", join(top, "edge"), "--outDir", dir];
  const compiler = join(top, "node_modules/typescript/bin/tsc");
  const child = Bun.spawn(
    [process.execPath, compiler, ...flags, ...places, join(here, "client.ts")],
    {
      cwd: top,
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const said = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`The types do not build:\n${said}`);
  for (const name of readdirSync(dir, { recursive: true, encoding: "utf8" })) {
    if (name.endsWith(".d.ts")) importJs(join(dir, name));
  }
}

/** "./x.ts" is a name that only those compilers take who were told to; "./x.js" finds x.d.ts everywhere. */
function importJs(file: string): void {
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replaceAll(/(from "\.[^"]*)\.ts"/g, '$1.js"'));
}

if (import.meta.main) {
  const dir = process.argv[2];
  if (dir === undefined) {
    console.error("Usage: bun edge/client/pack.ts DIR");
    process.exit(2);
  }
  console.log(JSON.stringify(await pack(dir)));
}
