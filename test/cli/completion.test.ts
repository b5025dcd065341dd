// The completion scripts, run by the shells that they are for. A shell that is not installed is told and skipped.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { commands } from "../../src/cli/commands.ts";
import { knownCommands } from "../../src/cli/completion.ts";
import { optionTable, type Option } from "../../src/options.ts";
import { startBroker, type TestBroker } from "../../src/testing/index.ts";
import { runLine } from "./memory-terminal.ts";

const folder = mkdtempSync(join(tmpdir(), "rivulet-completion-"));
let broker: TestBroker;

beforeAll(async () => {
  mkdirSync(join(folder, "data-here"));
  writeFileSync(join(folder, "rivulet.toml"), "");
  const main = join(import.meta.dir, "../../src/main.ts");
  const command = join(folder, "rivulet");
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
  chmodSync(command, 0o755);
  for (const shell of ["bash", "zsh", "fish"] as const)
    writeFileSync(join(folder, `script.${shell}`), (await runLine(`completion ${shell}`)).out);
  broker = await startBroker();
  await broker.createTopic("orders");
  await broker.createTopic("clicks");
});
afterAll(async () => {
  await broker[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** What the shell prints that runs a script in the folder. Not synchronous: it may ask the broker, which runs here. */
async function shellOutput(shell: string, script: string): Promise<readonly string[]> {
  const env = {
    PATH: `${folder}${delimiter}${process.env.PATH}`,
    HOME: folder,
    RIVULET_URL: broker.url,
  };
  const options = { cwd: folder, env, stdout: "pipe", stderr: "pipe", stdin: "ignore" } as const;
  await using child = Bun.spawn([shell, "-c", script], options);
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect(err).toBe("");
  return out.split("\n").filter((line) => line !== "");
}

type Complete = (words: readonly string[]) => Promise<readonly string[]>;

/** Each shell's own way to complete a line: the words before the cursor, the last one unfinished. */
const shells: Readonly<Record<string, Complete>> = {
  async bash(words) {
    // bash parts words at the equals sign before it asks.
    const parted = words.flatMap((word) => word.split(/(=)/).filter((part) => part !== ""));
    const all = words.at(-1) === "" ? [...parted, ""] : parted;
    const quoted = all.map((word) => `'${word}'`).join(" ");
    return await shellOutput(
      "bash",
      `. ./script.bash; COMP_WORDS=(${quoted}); COMP_CWORD=${all.length - 1}; _rivulet; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
  },
  async zsh(words) {
    // Outside of a line editor its builtins are stood in for by functions that print what they are given.
    const stand = [
      "compdef() { :; }",
      "_describe() { [[ $1 == -o ]] && shift; print -l -- ${${(P)2}%%:*}; }",
      "compadd() { local -a out; while [[ $1 == -* ]]; do case $1 in (-a) out=(${(P)2}); shift 2;; (-S) shift 2;; (--) shift; break;; esac; done; print -l -- $out $@; }",
      "compset() { word=${word#*=}; }",
      "_files() { if [[ $1 == -/ ]]; then print -l -- *(/); else print -l -- *; fi; }",
    ].join("\n");
    const quoted = words.map((word) => `'${word}'`).join(" ");
    const found = await shellOutput(
      "zsh",
      `${stand}\n. ./script.zsh; words=(${quoted}); CURRENT=${words.length}; _rivulet`,
    );
    // The real builtins keep what fits the word; the stand-ins print everything.
    const typed = (words.at(-1) ?? "").replace(/^--[^=]*=/, "");
    return found.filter((word) => word.startsWith(typed));
  },
  async fish(words) {
    const lines = await shellOutput("fish", `source script.fish; complete -C '${words.join(" ")}'`);
    return lines.map((line) => line.split("\t")[0].replace(/^--[^=]*=(?=.)/, ""));
  },
};

for (const [shell, complete] of Object.entries(shells)) {
  const installed = Bun.which(shell) !== null;
  if (!installed) console.log(`skipped: completion in ${shell}, which is not installed`);

  describe.skipIf(!installed)(`in ${shell}`, () => {
    const completed = sorted(complete);

    test("commands and families of commands", async () => {
      expect(await completed("rivulet st")).toEqual(["start", "status"]);
      const first = new Set(commands.map(({ name }) => name.split(" ")[0]));
      expect((await completed("rivulet ")).filter((word) => !word.startsWith("-"))).toEqual(
        [...first].toSorted(),
      );
      expect(await completed("rivulet topics d")).toEqual(["delete", "describe"]);
    });

    test("options of the command, and only its", async () => {
      expect(await completed("rivulet start --da")).toEqual(["--data"]);
      expect(await completed("rivulet topics create orders --part")).toEqual(["--partitions"]);
      expect(await completed("rivulet status --part")).toEqual([]);
      expect(await completed("rivulet bench --in")).toEqual(["--in-flight"]);
    });

    test("values: choices of this very command, folders, files, nothing where nothing is known", async () => {
      expect(await completed("rivulet produce t --format ")).toEqual(["json", "value"]);
      expect(await completed("rivulet consume t --format ")).toEqual(["json", "kv", "value"]);
      expect(await completed("rivulet start --durability=f")).toEqual(["full"]);
      expect((await completed("rivulet start --data data"))[0]).toMatch(/^data-here\/?$/);
      expect(await completed("rivulet start --config-file rivulet.t")).toEqual(["rivulet.toml"]);
      expect(await completed("rivulet start --http ")).toEqual([]);
    });

    test("names of settings", async () => {
      expect((await completed("rivulet start --config num."))[0]).toMatch(/^num\.partitions=?$/);
      expect((await completed("rivulet topics create t --set retention.m"))[0]).toMatch(
        /^retention\.ms=?$/,
      );
      expect(await completed("rivulet topics alter t --reset retention.b")).toEqual([
        "retention.bytes",
      ]);
    });

    test("topics, which the node is asked for", async () => {
      // A machine that is too busy to answer within two seconds completes nothing, as it should.
      await until(async () => (await completed("rivulet consume cl")).length > 0);
      expect(await completed("rivulet consume ")).toEqual(
        expect.arrayContaining(["clicks", "orders"]),
      );
      expect(await completed("rivulet topics delete or")).toEqual(["orders"]);
      expect(await completed("rivulet bench --topic cl")).toEqual(["clicks"]);
    }, 20_000);

    test("the shells themselves", async () => {
      expect(await completed("rivulet completion ")).toEqual(
        expect.arrayContaining(["bash", "fish", "zsh"]),
      );
    });
  });
}

describe("rivulet completion", () => {
  test("holds every command and option of the tables, in every shell", async () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      const { out } = await runLine(`completion ${shell}`);
      for (const { name, options } of commands) {
        expect(out).toContain(name.split(" ").at(-1) ?? "");
        for (const option of options) expect(out).toContain((optionTable[option] as Option).flag);
      }
    }
  });

  test("knows a value for each option that takes one", () => {
    const flags = knownCommands().flatMap((command) => command.flags);
    for (const { flag, value } of flags) {
      const takesOne = Object.values<Option>(optionTable).some(
        (option) => option.flag === flag && option.kind !== "flag",
      );
      expect({ flag, takes: value !== null }).toEqual({ flag, takes: takesOne });
    }
  });

  test("names the nearest shell", async () => {
    const { code, err } = await runLine("completion fishy");
    expect(err).toContain("Did you mean fish?");
    expect(code).toBe(1);
  });
});

function sorted(complete: Complete): (line: string) => Promise<readonly string[]> {
  return async (line) => (await complete(line.split(" "))).toSorted();
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let attempts = 0; attempts < 8; attempts++) if (await holds()) return;
}
