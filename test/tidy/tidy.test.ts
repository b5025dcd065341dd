// The tree is as STYLE asks: directions, lengths, names, no way outward but the World, lock files that agree.

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bunLocked, lockDifferences, npmLocked, unpinned } from "./lock-files.ts";
import { faultsOf, unmapped, type SourceFile } from "./rules.ts";

const root = join(import.meta.dir, "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const paths = [
  ...new Bun.Glob("{src,raft,edge,drizzle,test}/**/*").scanSync({ cwd: root, onlyFiles: true }),
  ...new Bun.Glob("*").scanSync({ cwd: root, onlyFiles: true }),
]
  .filter((path) => /\.(ts|js|json|md|toml|lock|sql|txt)$/.test(path))
  .sort((a, b) => (a < b ? -1 : 1));

describe("every file", () => {
  test("keeps the rules", () => {
    // The rules and their planted faults hold the very words that they look for.
    const judged = paths.filter((path) => !path.startsWith("test/tidy/"));
    expect(judged.flatMap((path) => faultsOf({ path, text: read(path) }))).toEqual([]);
  });

  test("has functions of at most 70 lines", async () => {
    expect(await longFunctions(["src", "raft", "edge"])).toBe("");
  }, 30_000);

  test("lies in a folder that the README's map names", () => {
    expect(unmapped(read("README.md"), paths)).toEqual([]);
  });
});

describe("the dependencies", () => {
  test("are the same in package-lock.json and bun.lock", () => {
    const differences = lockDifferences(
      npmLocked(read("package-lock.json")),
      bunLocked(read("bun.lock")),
    );
    expect(differences).toEqual([]);
  });

  test("are pinned, bun among them, and its install script is allowed", () => {
    const manifest = JSON.parse(read("package.json")) as {
      dependencies: Record<string, string>;
      trustedDependencies: string[];
      allowScripts: Record<string, boolean>;
    };
    expect(unpinned(manifest)).toEqual([]);
    expect(manifest.trustedDependencies).toContain("bun");
    // By name: npm cannot verify a version here, because the lock file names no address ("an allow is refused").
    expect(manifest.allowScripts.bun).toBe(true);
  });
});

describe("a planted fault is found:", () => {
  const planted: readonly (SourceFile & { readonly finds: string })[] = [
    fault("raft/x.ts", 'import { a } from "../src/assert.ts";', "raft must not import from ."),
    fault("src/bytes/x.ts", 'import "../journal/disk.ts";', "must not import from src/journal"),
    fault("src/journal/x.ts", 'void import("../broker/x.ts");', "must not import from src/broker"),
    fault("src/new/x.ts", 'import "../world.ts";', "no row in the table"),
    fault("src/limits.ts", 'import "./cli/cli.ts";', ". must not import from src/cli"),
    { path: "src/x.ts", text: "export {};\n", finds: "head comment" },
    fault("src/broker/x.ts", "\n".repeat(601), "at most 600"),
    fault("src/broker/fetch-utils.ts", "", "says nothing"),
    fault("src/common/x.ts", "", "says nothing"),
    fault("src/broker/fooBar.ts", "", "kebab-case"),
    fault("src/broker/x.ts", "const now = Date.now();", "uses Date.now"),
    fault("raft/x.ts", "setTimeout(f, 1);", "uses setTimeout"),
    fault("edge/server/x.ts", "const id = crypto.randomUUID();", "uses randomUUID"),
    fault("src/broker/x.ts", "const a = b as any;", "type any"),
    fault("src/broker/x.ts", "function f(a: any) {}", "type any"),
    fault("test/broker/x.test.ts", "// @ts-ignore", "@ts-ignore"),
    fault("src/broker/x.ts", "// TODO later", "holds TODO"),
    fault("test/x.ts", 'const p = "/home/somebody/x";', "path of a machine"),
    fault("bun.lock", '["a@1.0.0", "https://host/a.tgz"]', "where a package came from"),
    fault("README.md", "see registry.example", "names a registry"),
  ];
  for (const { path, text, finds } of planted)
    test(`${path}: ${finds}`, () => {
      expect(faultsOf({ path, text }).join("\n")).toContain(finds);
    });

  test("a comment may name what code may not use", () => {
    expect(faultsOf({ path: "src/broker/x.ts", text: "// no Date.now() here, any day\n" })).toEqual(
      [],
    );
  });

  test("a function of 71 lines", async () => {
    const body = "  void 0;\n".repeat(69);
    const file = join(scratch, "long.ts");
    writeFileSync(file, `// Long.\nexport function f(): void {\n${body}}\n`);
    expect(await longFunctions([file])).toContain("has too many lines (71)");
  }, 30_000);

  test("a lock file in which a package has another version, or is missing", () => {
    const npm = npmLocked(
      '{"packages":{"":{},"node_modules/a":{"version":"1.0.0"},"node_modules/a/node_modules/b":{"version":"2.0.0"}}}',
    );
    const bun = bunLocked('{"packages":{"a":["a@1.0.1",""],}}');
    expect(lockDifferences(npm, bun)).toEqual([
      "a@1.0.0 is only in package-lock.json",
      "b@2.0.0 is only in package-lock.json",
      "a@1.0.1 is only in bun.lock",
    ]);
  });

  test("a dependency that is not pinned", () => {
    expect(unpinned({ dependencies: { a: "^1.0.0", b: "1.2.3" } })).toEqual([
      "a is not pinned: ^1.0.0",
    ]);
  });

  test("a folder that the map forgot", () => {
    expect(unmapped("| `raft` | x |", ["raft/a.ts", "src/new/b.ts"])).toEqual(["src/new"]);
  });
});

const scratch = mkdtempSync(join(tmpdir(), "rivulet-tidy-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A file with a head comment, so that only the planted fault is found. */
function fault(path: string, line: string, finds: string) {
  return { path, text: `// Head.\n${line}\n`, finds };
}

/** What oxlint says of functions that are too long; "" when there are none. */
async function longFunctions(where: readonly string[]): Promise<string> {
  const oxlint = join(root, "node_modules/oxlint/bin/oxlint");
  const config = join(root, "test/tidy/oxlintrc.json");
  const command = [
    process.execPath,
    oxlint,
    "-c",
    config,
    "-A",
    "all",
    "-D",
    "max-lines-per-function",
    "--format",
    "unix",
    ...where,
  ];
  const child = Bun.spawn(command, { cwd: root, stdout: "pipe", stderr: "inherit" });
  const told = await new Response(child.stdout).text();
  return (await child.exited) === 0 ? "" : told;
}
