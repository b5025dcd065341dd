// `bun run ok`: everything that must hold before a change goes in, in the order of how fast it tells.
//
//   types, lint, format, tests (tidy and README among them), simulator seeds
//
// Promise: every step runs, also after one that failed; the exit code is 0 exactly when all of them held.

import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const bun = process.execPath;
const oxlint = join(root, "node_modules/oxlint/bin/oxlint");

const steps: readonly { readonly name: string; readonly command: readonly string[] }[] = [
  { name: "types", command: [bun, "check", "--no-script"] },
  { name: "lint", command: [bun, oxlint, "--type-aware"] },
  { name: "format", command: [bun, "fmt", "--no-script", "--check"] },
  { name: "tests", command: [bun, "test/run-tests.ts"] },
  { name: "seeds", command: [bun, "test/simulation/run.ts"] },
  {
    name: "cluster seeds",
    command: [bun, "test/simulation/cluster-run.ts", "--seeds", "200"],
  },
];

const failed: string[] = [];
for (const { name, command } of steps) {
  const script = command.at(-1) ?? "";
  if (script.endsWith("run.ts") && !existsSync(join(root, script))) {
    console.log(`${name}: skipped, ${script} is not there`);
    continue;
  }
  console.log(`\n== ${name}`);
  const code = await Bun.spawn([...command], { cwd: root, stdio: ["ignore", "inherit", "inherit"] })
    .exited;
  if (code !== 0) failed.push(name);
}
console.log(failed.length === 0 ? "\nok" : `\nNot ok: ${failed.join(", ")}`);
process.exit(failed.length === 0 ? 0 : 1);
