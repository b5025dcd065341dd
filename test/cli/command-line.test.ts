// What the command line takes, refuses and tells, without any node.

import { describe, expect, test } from "bun:test";
import manifest from "../../package.json" with { type: "json" };
import { commands } from "../../src/cli/commands.ts";
import { parseCommandLine } from "../../src/cli/arguments.ts";
import { optionTable, type Option } from "../../src/options.ts";
import { runLine } from "./memory-terminal.ts";

describe("a wrong command line ends with 2 and names the nearest word:", () => {
  for (const [line, hint] of [
    ["strat", 'Did you mean "start"?'],
    ["topics lst", 'Did you mean "topics list"?'],
    ["topic", 'Did you mean "topics"?'],
    ["start --dat x", "Did you mean --data?"],
    ["consume t --until-ned", "Did you mean --until-end?"],
    ["status --data x", '"rivulet status" does not take --data'],
    ["produce", '"rivulet produce" needs TOPIC'],
    ["topics list extra", 'does not know what to do with "extra"'],
    ["start --stop-timeout-ms soon", "--stop-timeout-ms must be a whole number from 0 to 600000"],
    ["start --stop-timeout-ms -1", "--stop-timeout-ms must be a whole number"],
    ["start --durability maybe", '--durability must be one of full, os, got "maybe"'],
    ["start --data", "--data needs a value: DIR"],
    ["start --json=maybe", "--json must be true or false"],
    ["--data x start", "The command comes first"],
    ["consume t -x", "There is no option -x"],
  ] as const)
    test(line, async () => {
      const { code, err, out } = await runLine(line);
      expect(err).toContain(hint);
      expect({ code, out }).toEqual({ code: 2, out: "" });
    });
});

describe("options come from one table:", () => {
  test("a flag wins over its variable, a variable over the default", () => {
    expect(options("status").url).toBe("http://127.0.0.1:7480");
    expect(options("status", { RIVULET_URL: "http://a" }).url).toBe("http://a");
    expect(options("status --url http://b", { RIVULET_URL: "http://a" }).url).toBe("http://b");
  });

  test("a list gathers, and a variable's is parted by commas", () => {
    expect(options("start --config a=1 --config b=2").config).toEqual(["a=1", "b=2"]);
    expect(options("start", { RIVULET_CONFIG: "a=1, b=2" }).config).toEqual(["a=1", "b=2"]);
  });

  test("a wrong variable is named", async () => {
    const { code, err } = await runLine("start", { env: { RIVULET_LOG_LEVEL: "loud" } });
    expect(err).toContain("RIVULET_LOG_LEVEL must be one of");
    expect(code).toBe(2);
  });

  test("a value may begin with a dash, and = joins", () => {
    expect(options("produce t --key-separator -").keySeparator).toBe("-");
    expect(options("produce t --key-separator=:").keySeparator).toBe(":");
  });

  test("every row is whole: a default within its bounds, a variable of its own name", () => {
    for (const option of Object.values<Option>(optionTable)) {
      if (option.env !== null)
        expect(option.env).toBe(`RIVULET_${option.flag.toUpperCase().replaceAll("-", "_")}`);
      if (typeof option.default === "number") {
        expect(option.default).toBeGreaterThanOrEqual(option.min ?? 0);
        expect(option.default).toBeLessThanOrEqual(option.max ?? Number.MAX_SAFE_INTEGER);
      }
      if (option.kind === "choice") expect(option.choices).toContain(String(option.default));
    }
  });
});

describe("help", () => {
  test("names every command, and goes to standard output", async () => {
    const { code, out } = await runLine("--help");
    for (const { name } of commands) expect(out).toContain(name);
    expect(code).toBe(0);
  });

  for (const command of commands)
    test(`of ${command.name} names its options, and its examples parse`, async () => {
      const { out } = await runLine(`${command.name} --help`);
      for (const name of command.options) expect(out).toContain(`--${optionTable[name].flag}`);
      for (const [line] of command.examples) {
        const words = line
          .slice(line.indexOf("rivulet ") + 8)
          .split(/ (?:\||>>?) /)[0]
          .split(" ");
        expect(parseCommandLine(words, {}).kind).toBe("run");
      }
    });

  test("of a family of commands lists them", async () => {
    expect((await runLine("topics")).out).toContain("topics create TOPIC");
    expect((await runLine("help topics create")).out).toContain("--replication-factor");
  });
});

test("--version prints the package's version alone", async () => {
  expect(await runLine("--version")).toEqual({ code: 0, out: `${manifest.version}\n`, err: "" });
});

test("a start beyond loopback is refused without --insecure", async () => {
  const { code, err } = await runLine("start --http 0.0.0.0:0");
  expect(err).toContain("rivulet start --http 0.0.0.0:0 --insecure");
  expect(code).toBe(2);
});

for (const [line, words] of [
  ["--http nowhere", '--http must be HOST:PORT, such as 127.0.0.1:7480, got "nowhere"'],
  ["--peer 7490", "--peer must be HOST:PORT"],
  ["--peer 127.0.0.1:1 --join 127.0.0.1:7480", "--join must be a URL such as http://"],
  ["--peer 127.0.0.1:0", "--peer needs a port of its own"],
  ["--join http://127.0.0.1:1", "--join needs --peer HOST:PORT"],
  ["--region eu", "--region needs --peer"],
  ["--cluster-secret x", "--cluster-secret needs --peer"],
  ["--peer 0.0.0.0:7490 --advertise-peer a:1", "--cluster-secret-file FILE"],
  ["--peer 10.0.0.1:7490 --cluster-secret short", "16 characters or more, it has 5"],
  [`--peer 0.0.0.0:1 --cluster-secret ${"s".repeat(16)}`, "Name it: --advertise-peer HOST:PORT"],
  ["--peer 127.0.0.1:1 --advertise-peer 0.0.0.0:1", "must be an address that other nodes can"],
  ["--peer 127.0.0.1:1 --advertise-peer a:0", "must be an address that other nodes can"],
  ["--peer 127.0.0.1:1 --region a/b", '--region must have 1 to 64 letters, digits, ".", "_"'],
  ["--peer 127.0.0.1:1 --peer-tls-cert a", "TLS between nodes needs all three"],
  [
    "--peer 127.0.0.1:1 --cluster-secret-file /nowhere",
    "Cannot read --cluster-secret-file /nowhere: ENOENT",
  ],
  [
    `--peer 127.0.0.1:1 --cluster-secret ${"s".repeat(16)} --cluster-secret-file x`,
    "one is enough",
  ],
] as const)
  test(`start ${line} is a wrong command line`, async () => {
    const { code, err, out } = await runLine(`start ${line}`);
    expect(err).toContain(words);
    expect({ code, out }).toEqual({ code: 2, out: "" });
  });

test("a client without a node says what to do", async () => {
  const { code, err } = await runLine("status --url http://127.0.0.1:1");
  expect(err).toContain("No answer from http://127.0.0.1:1");
  expect(err).toContain("rivulet start");
  expect(code).toBe(1);
});

/** The options that a line gives; the line must be right. */
function options(line: string, env: Readonly<Record<string, string>> = {}) {
  const parsed = parseCommandLine(line.split(" "), env);
  if (parsed.kind !== "run") throw new Error(JSON.stringify(parsed));
  return parsed.options;
}
