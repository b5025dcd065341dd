// This project's own golden scripts, in the form of etcd's. REWRITE=1 writes the outputs anew: read the difference.

import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rewriteScript, runScript } from "./datadriven.ts";
import { interactionHandler } from "./interaction-script.ts";

const folder = join(import.meta.dir, "testdata");

for (const name of readdirSync(folder).sort()) {
  test(`${name} runs as written`, () => {
    const path = join(folder, name);
    const text = readFileSync(path, "utf8");
    if (process.env["REWRITE"] === "1") {
      writeFileSync(path, rewriteScript(text, interactionHandler()));
      return;
    }
    expect(runScript(text, interactionHandler())).toBeNull();
  });
}
