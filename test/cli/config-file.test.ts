// The config file: which layer wins, what a file may hold, and what is said of a wrong one.

import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runLine } from "./memory-terminal.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "rivulet-config-")));
const file = join(folder, "rivulet.toml");
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => rmSync(file, { recursive: true, force: true }));

interface Told {
  readonly configFile: string | null;
  readonly options: Readonly<Record<string, { readonly value: unknown; readonly from: string }>>;
  readonly config: Readonly<Record<string, { readonly value: string; readonly from: string }>>;
}

/** What `rivulet config` tells with the file written. */
async function told(toml: string, line = "", env: Record<string, string> = {}): Promise<Told> {
  writeFileSync(file, toml);
  const { code, out, err } = await runLine(`config --json --config-file ${file} ${line}`.trim(), {
    env,
  });
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return JSON.parse(out) as Told;
}

describe("a value comes from", () => {
  const toml = '# Ours.\nhttp = "127.0.0.1:1"\n';
  const env = { RIVULET_HTTP: "127.0.0.1:2" };

  test("the flag, before all others", async () => {
    const { http } = (await told(toml, "--http 127.0.0.1:3", env)).options;
    expect(http).toEqual({ value: "127.0.0.1:3", from: "--http" });
  });

  test("the variable, before the file", async () => {
    const { http } = (await told(toml, "", env)).options;
    expect(http).toEqual({ value: "127.0.0.1:2", from: "RIVULET_HTTP" });
  });

  test("the file, whose line is told", async () => {
    const { configFile, options } = await told(toml);
    expect(options.http).toEqual({ value: "127.0.0.1:1", from: `${file} line 2` });
    expect(configFile).toBe(file);
  });

  test("the default, when nobody names it", async () => {
    expect((await told(toml)).options.durability).toEqual({ value: "full", from: "default" });
  });

  test("each of them, broker setting by broker setting", async () => {
    const settings =
      "[config]\nnum.partitions = 2\nlog.retention.hours = 24\ndelete.topic.enable = false\n";
    const line = "--config num.partitions=4";
    const { config } = await told(settings, line, {
      RIVULET_CONFIG: "num.partitions=3,log.retention.hours=48",
    });
    expect(config["num.partitions"]).toEqual({ value: "4", from: "--config" });
    expect(config["log.retention.hours"]).toEqual({ value: "48", from: "RIVULET_CONFIG" });
    expect(config["delete.topic.enable"]).toEqual({ value: "false", from: `${file} line 4` });
    expect(config["auto.create.topics.enable"]).toEqual({ value: "true", from: "default" });
  });
});

describe("a file", () => {
  test("may hold every type, and broker settings in either form", async () => {
    const all = await told(
      'insecure = true\nstop-timeout-ms = 5_000\ncors-origin = ["http://a", "http://b"]\n' +
        'config = ["num.partitions=2"]\n',
    );
    expect(all.options.insecure.value).toBe(true);
    expect(all.options["stop-timeout-ms"].value).toBe(5_000);
    expect(all.options["cors-origin"].value).toEqual(["http://a", "http://b"]);
    expect(all.config["num.partitions"].value).toBe("2");
    expect((await told('[config]\n"num.partitions" = "2"')).config["num.partitions"].value).toBe(
      "2",
    );
  });

  test("means its folders from where it lies", async () => {
    expect((await told('data = "kept"')).options.data.value).toBe(join(folder, "kept"));
    expect((await told('data = "/kept"')).options.data.value).toBe("/kept");
    writeFileSync(join(folder, "secret"), "0123456789abcdef\n");
    const peer = 'peer = "127.0.0.1:1"\ncluster-secret-file = "secret"';
    expect((await told(peer)).options["cluster-secret-file"].value).toBe(join(folder, "secret"));
  });

  test("serves the commands that ask a node too", async () => {
    writeFileSync(file, 'url = "http://127.0.0.1:1"\nhttp = "127.0.0.1:1"\n');
    const { err } = await runLine("status", { env: { RIVULET_CONFIG_FILE: file } });
    expect(err).toContain("No answer from http://127.0.0.1:1");
  });

  test("is what `rivulet config` prints", async () => {
    const given = await runLine("config --http 127.0.0.1:9 --config num.partitions=7 --insecure");
    const again = await told(given.out);
    expect(again.options.http).toMatchObject({ value: "127.0.0.1:9" });
    expect(again.options.insecure).toMatchObject({ value: true });
    expect(again.config["num.partitions"]).toMatchObject({ value: "7" });
  });

  for (const [toml, hint] of [
    ['\nhtpp = "x"\n', "line 2: there is no option htpp. Did you mean http?"],
    ['stop_timeout_ms = 1\nlog-level = "info"', "line 1: there is no option stop_timeout_ms. Did"],
    ["partitions = 3", "line 1: partitions is given with each command, not in a config file"],
    ['config-file = "x"', "line 1: config-file is given with each command"],
    ["\n\nhttp = 7480", "line 3: http must be a string, got 7480"],
    ['insecure = "yes"', 'line 1: insecure must be true or false, got "yes"'],
    ["stop-timeout-ms = 1.5", "line 1: stop-timeout-ms must be an integer, got 1.5"],
    ["stop-timeout-ms = -1", "line 1: stop-timeout-ms must be a whole number from 0 to 600000"],
    ['log-level = "loud"', "line 1: log-level must be one of debug, info, warn, error"],
    ['peer = "x"', 'line 1: peer must be HOST:PORT, such as 127.0.0.1:7480, got "x"'],
    ["cors-origin = [1]", "line 1: cors-origin must be a string or a list of strings, got [1]"],
    ['[data]\nx = "y"', 'line 1: data must be a string, got {"x":"y"}'],
    ["[config]\nnum.partition = 3", "line 2: Cannot set num.partition: it is not a broker setting"],
    ["[config]\n\nnum . partitions = 0", "line 3: Cannot set num.partitions: it"],
    ["[config]\nnum.partitions = [3]", "line 2: num.partitions must be one value, got [3]"],
    ['http = "a"\nhttp = "b"', "line 2: Invalid TOML document"],
    ["http = ", "line 1: Invalid TOML document"],
  ] as const)
    test(`with ${JSON.stringify(toml)} is refused with its line`, async () => {
      writeFileSync(file, toml);
      const { code, err, out } = await runLine(`config --config-file ${file}`);
      expect(err).toContain(`${file} ${hint}`);
      expect({ code, out }).toEqual({ code: 2, out: "" });
    });

  test("may begin with a byte order mark; bytes that are no UTF-8 are refused", async () => {
    expect((await told('\u{feff}http = "127.0.0.1:1"')).options.http.value).toBe("127.0.0.1:1");
    writeFileSync(file, Buffer.from([0x61, 0xff, 0x0a]));
    const { code, err } = await runLine(`config --config-file ${file}`);
    expect(err).toContain("it is no UTF-8 text");
    expect(code).toBe(2);
  });

  test("that is not there, or is no file, is refused", async () => {
    const missing = await runLine(`start --config-file ${file}`);
    expect(missing.err).toContain(`Cannot read the config file ${file}: there is none`);
    expect(missing.code).toBe(2);
    mkdirSync(file);
    expect((await runLine(`start --config-file ${file}`)).err).toContain("EISDIR");
  });
});

describe("rivulet config", () => {
  test("refuses a broker setting that the node would refuse", async () => {
    const { code, err } = await runLine("config --config num.partition=3");
    expect(err).toContain("did you mean num.partitions?");
    expect(code).toBe(1);
  });

  test("shows that there is a secret, not which", async () => {
    const secret = "a-secret-of-the-cluster";
    const env = { RIVULET_CLUSTER_SECRET: secret, RIVULET_PEER: "127.0.0.1:7490" };
    const [person, program] = [
      await runLine("config", { env }),
      await runLine("config --json", { env }),
    ];
    for (const { out } of [person, program]) expect(out).not.toContain(secret);
    expect(person.out).toMatch(/^# cluster-secret is set +# RIVULET_CLUSTER_SECRET$/m);
    const { options } = JSON.parse(program.out) as Awaited<ReturnType<typeof told>>;
    expect(options["cluster-secret"]).toEqual({
      value: "(hidden)",
      from: "RIVULET_CLUSTER_SECRET",
    });
    expect((await told(person.out)).options.peer.value).toBe("127.0.0.1:7490");
  });

  test("refuses options of a cluster that do not go together", async () => {
    const { code, err } = await runLine("config --join http://127.0.0.1:1");
    expect(err).toContain("--join needs --peer");
    expect(code).toBe(2);
  });

  test("shows a person where each value comes from", async () => {
    const { out } = await runLine("config", { env: { RIVULET_LOG_LEVEL: "debug" } });
    expect(out).toMatch(/^log-level = "debug" +# RIVULET_LOG_LEVEL$/m);
    expect(out).toMatch(/^http = "127\.0\.0\.1:7480" +# default$/m);
    expect(out).toMatch(/^"num\.partitions" = "1" +# default$/m);
  });
});

test("rivulet start uses the file that is named, and says so; one that is not named it only mentions", async () => {
  writeFileSync(file, 'data = "kept"\nhttp = "127.0.0.1:0"\n[config]\nnum.partitions = 3\n');
  const main = join(import.meta.dir, "../../src/main.ts");
  const start = async (args: readonly string[]) => {
    const command = [process.execPath, main, "start", "--json", ...args];
    const options = { cwd: folder, stdout: "pipe", stderr: "pipe", stdin: "ignore" } as const;
    await using child = Bun.spawn(command, options);
    const reader = child.stdout.getReader();
    const line = Buffer.from((await reader.read()).value ?? []).toString();
    child.kill("SIGTERM");
    await child.exited;
    return { line, err: await new Response(child.stderr).text() };
  };
  const named = await start(["--config-file", "rivulet.toml"]);
  expect(JSON.parse(named.line)).toMatchObject({ configFile: file, data: join(folder, "kept") });
  expect(named.err).not.toContain("not read");
  const unnamed = await start(["--http", "127.0.0.1:0"]);
  expect(JSON.parse(unnamed.line)).toMatchObject({ configFile: null });
  expect(unnamed.err).toContain("There is a rivulet.toml here, and it is not read");
}, 20_000);
