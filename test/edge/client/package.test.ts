import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { partitionForKey } from "../../../edge/client/murmur2.ts";
import { bundle, pack, type Sizes } from "../../../edge/client/pack.ts";
import { partitionForKey as partitionOfBroker } from "../../../src/bytes/murmur2.ts";

/** What a page loads, bytes: a little above what it is, so that who makes it grow has to say so here. */
const gzippedMax = 9_500;

const root = join(import.meta.dirname, "../../..");
let dir: string;
let sizes: Sizes;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "rivulet-package-"));
  sizes = await pack(join(dir, "package"));
}, 30_000);

afterAll(() => rmSync(dir, { recursive: true, force: true }));

function run(command: readonly string[], cwd: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd });
  if (exitCode !== 0)
    throw new Error(`${command.join(" ")}: ${stdout.toString()}${stderr.toString()}`);
  return stdout.toString();
}

describe("@rivulet/client", () => {
  test("installed alone it is one package, which loads and has types", () => {
    const bun = process.execPath;
    run([bun, "pm", "pack", "--destination", dir, "--quiet"], join(dir, "package"));
    const archive = readdirSync(dir).find((name) => name.endsWith(".tgz"));
    const user = join(dir, "user");
    mkdirSync(user);
    writeFileSync(join(user, "package.json"), '{"type": "module"}');
    run([bun, "add", `../${archive}`], user);
    const installed = readdirSync(join(user, "node_modules"))
      .filter((name) => !name.startsWith("."))
      .flatMap((scope) =>
        readdirSync(join(user, "node_modules", scope)).map((one) => `${scope}/${one}`),
      );
    expect(installed).toEqual(["@rivulet/client"]);
    const program = `import { connect, RivuletError, type Receipt } from "@rivulet/client";
const client = connect("http://127.0.0.1:1");
export const sent = (): Promise<Receipt> => client.send("t", { value: 1 });
console.log(typeof sent, new RivuletError("", { code: "x" }).sideEffects);
`;
    writeFileSync(join(user, "program.ts"), program);
    expect(run([bun, "program.ts"], user)).toBe("function none\n");
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const lib = ["--lib", "esnext,dom,dom.iterable", "--types", "", "--noEmit", "--strict"];
    const module = ["--module", "nodenext", "--target", "esnext", "--ignoreConfig"];
    run([bun, tsc, ...module, ...lib, "program.ts"], user);
  }, 30_000);

  test("rivulet/client is the same client", async () => {
    const name = "rivulet/client";
    const ours = (await import(name)) as Record<string, unknown>;
    const packed = (await import(join(dir, "package/client.js"))) as Record<string, unknown>;
    expect(Object.keys(ours).sort()).toEqual(Object.keys(packed).sort());
    expect(Object.keys(ours)).toContain("connect");
  });

  test("it has what a package has, and no dependency", () => {
    const text = readFileSync(join(dir, "package/package.json"), "utf8");
    const manifest = JSON.parse(text) as Record<string, unknown>;
    expect(Object.keys(manifest).filter((name) => /dependencies$/i.test(name))).toEqual([]);
    expect(readdirSync(join(dir, "package")).sort()).toEqual([
      "LICENSE",
      "README.md",
      "client.js",
      "package.json",
      "types",
    ]);
  });

  test(`it weighs at most ${gzippedMax} bytes, minified and gzipped`, () => {
    console.log(`@rivulet/client: ${JSON.stringify(sizes)}`);
    expect(sizes.gzipped).toBeLessThanOrEqual(gzippedMax);
    expect(sizes.gzipped).toBeGreaterThan(gzippedMax / 2);
  });

  test("it names nothing of a runtime and imports nothing", async () => {
    const code = await bundle("readable");
    expect(
      /\b(Bun|Deno|process|Buffer|require|__dirname|global|window|self)\b\s*[.([]/.exec(code),
    ).toBeNull();
    expect(/^\s*import\b|\bimport\(|from "/m.exec(code)).toBeNull();
  });

  test("clock, timers and random are in environment.ts alone", () => {
    const banned =
      /\b(Date\.now|performance\.|setTimeout|setInterval|queueMicrotask|Math\.random|crypto\.|AbortSignal\.timeout|new Date\(\))/;
    const client = join(root, "edge/client");
    const outward = readdirSync(client)
      .filter((name) => name.endsWith(".ts"))
      .filter((name) => banned.test(readFileSync(join(client, name), "utf8")));
    expect(outward).toEqual(["environment.ts"]);
  });
});

describe("murmur2", () => {
  test("places every key where the broker does", () => {
    for (let length = 0; length < 40; length++) {
      const key = Uint8Array.from({ length }, (_, i) => (i * 89 + length * 31) & 0xff);
      expect(partitionForKey(key, 1_000)).toBe(partitionOfBroker(key, 1_000));
    }
  });
});
