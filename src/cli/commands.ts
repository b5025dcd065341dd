// One table of commands: what each takes, what --help says of it, and where it lives.
//
// Promise: the command line knows nothing that is not here; a command's code is loaded only when it runs.

import { peerOptionNames, type OptionName, type Options, type Origins } from "../options.ts";
import type { Terminal } from "./terminal.ts";

/** One run of a command. */
export interface Call {
  readonly options: Options;
  /** Where the options' values come from. */
  readonly origins: Origins;
  readonly positionals: readonly string[];
  readonly terminal: Terminal;
}

/** Resolves to the exit code; throws Failure or ClosedPipe (failure.ts). */
export type Run = (call: Call) => Promise<number>;

export interface Command {
  /** As typed: "start", "topics list". */
  readonly name: string;
  /** Arguments without a flag: TOPIC, [DIR]. In brackets: may be left out. */
  readonly positionals: readonly string[];
  readonly summary: string;
  readonly about: string;
  readonly options: readonly OptionName[];
  /** Command lines that work, and what each does. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  readonly load: () => Promise<Run>;
}

export const commands: readonly Command[] = [
  {
    name: "start",
    positionals: [],
    summary: "Run a node",
    about:
      "Runs a node in the foreground until Ctrl-C or SIGTERM. Everything it keeps is in one folder: the same folder\n" +
      "brings the same log back, also after a crash. A second Ctrl-C leaves at once; nothing acknowledged is lost.\n" +
      "With --peer the node is a member of a cluster: the first one forms it, each further one names any member with\n" +
      "--join, at its first start. A node that ran alone becomes the first of a cluster by a start with --peer.",
    options: [
      "data",
      "http",
      "insecure",
      ...peerOptionNames,
      "corsOrigins",
      "durability",
      "config",
      "configFile",
      "stopTimeoutMs",
      "logLevel",
      "logFormat",
      "json",
    ],
    examples: [
      ["rivulet start", "on 127.0.0.1:7480, data in ./rivulet-data"],
      ["rivulet start --data /var/lib/rivulet --http 127.0.0.1:9000", "elsewhere"],
      ["rivulet start --config num.partitions=3", "new topics get three partitions"],
      ["rivulet start --peer 127.0.0.1:7490", "the first node of a cluster"],
      [
        "rivulet start --data ./node-2 --http 127.0.0.1:7481 --peer 127.0.0.1:7491 --join http://127.0.0.1:7480",
        "the second one, on the same machine",
      ],
      ["RIVULET_LOG_LEVEL=debug rivulet start", "every option has a variable"],
      ["rivulet start --config-file rivulet.toml", "and a key in a config file"],
    ],
    load: async () => (await import("./start.ts")).start,
  },
  {
    name: "config",
    positionals: [],
    summary: "Show what a node would run with, and why",
    about:
      "Prints every option and broker setting with its value, and whether a flag, a variable, a line of the config file\n" +
      "or the default gives it. A flag wins over a variable, a variable over the file. What it prints is itself a config\n" +
      "file (TOML). No file is read unless --config-file or RIVULET_CONFIG_FILE names it. Nothing is started.",
    options: [
      "data",
      "http",
      "insecure",
      ...peerOptionNames,
      "corsOrigins",
      "durability",
      "config",
      "configFile",
      "stopTimeoutMs",
      "logLevel",
      "logFormat",
      "url",
      "json",
    ],
    examples: [
      ["rivulet config > rivulet.toml", "a file to begin with"],
      ["rivulet config --config-file rivulet.toml", "check a file, see what it changes"],
      ["rivulet config --config num.partitions=3 --json", "for a program"],
    ],
    load: async () => (await import("./config.ts")).config,
  },
  {
    name: "topics list",
    positionals: [],
    summary: "List the topics",
    about: "Lists the topics in the order of their names.",
    options: ["url", "configFile", "prefix", "internal", "json"],
    examples: [
      ["rivulet topics list", "name, partitions, replicas"],
      ["rivulet topics list --prefix orders --json", "one JSON object a line"],
    ],
    load: async () => (await import("./topics.ts")).listTopics,
  },
  {
    name: "topics create",
    positionals: ["TOPIC"],
    summary: "Create a topic",
    about: "Creates a topic. Configs have Kafka's names and defaults.",
    options: ["url", "configFile", "partitions", "replicationFactor", "set", "json"],
    examples: [
      ["rivulet topics create orders --partitions 3", "three partitions"],
      ["rivulet topics create clicks --set retention.ms=3600000", "records live for an hour"],
    ],
    load: async () => (await import("./topics.ts")).createTopic,
  },
  {
    name: "topics describe",
    positionals: ["TOPIC"],
    summary: "Show a topic's partitions and configs",
    about:
      "Shows each partition's leader, first offset and end, and the configs that are not at their default.",
    options: ["url", "configFile", "json"],
    examples: [
      ["rivulet topics describe orders", "for a person"],
      ["rivulet topics describe orders --json", "everything, every config included"],
    ],
    load: async () => (await import("./topics.ts")).describeTopic,
  },
  {
    name: "topics alter",
    positionals: ["TOPIC"],
    summary: "Add partitions, set or reset configs",
    about:
      "Changes a topic. The number of partitions can only grow, and keys are then placed anew:\n" +
      "later records of a key may go to another partition than earlier ones.",
    options: ["url", "configFile", "partitions", "set", "reset", "json"],
    examples: [
      ["rivulet topics alter orders --partitions 6", "grow to six partitions"],
      ["rivulet topics alter orders --set retention.bytes=1000000000", "keep 1 GB a partition"],
      ["rivulet topics alter orders --reset retention.bytes", "back to the default"],
    ],
    load: async () => (await import("./topics.ts")).alterTopic,
  },
  {
    name: "topics delete",
    positionals: ["TOPIC"],
    summary: "Delete a topic and all its records",
    about: "Deletes a topic with all its records, at once and for good.",
    options: ["url", "configFile", "json"],
    examples: [["rivulet topics delete orders", "the records are gone when it returns"]],
    load: async () => (await import("./topics.ts")).deleteTopic,
  },
  {
    name: "produce",
    positionals: ["TOPIC"],
    summary: "Write records, a line each, from standard input",
    about:
      "Reads lines from standard input and writes each as a record. Lines that are there together travel together;\n" +
      "order is kept, and a line is written once even when an answer was lost and the request was sent again.\n" +
      "With --json each record's receipt (partition, offset, timestamp) is printed. A line of --format json is an object\n" +
      "with value, valueJson or valueBase64, and may have key, headers, timestamp, partition; offset is ignored.\n" +
      "A node that goes away is waited for, about half a minute. After Ctrl-C or SIGTERM the whole lines that are there are\n" +
      "still written; the exit code is then 130 or 143.",
    options: ["url", "configFile", "partition", "keySeparator", "readAs", "json"],
    examples: [
      ["echo hello | rivulet produce greetings", "one record"],
      ["rivulet produce greetings", "type records, end with Ctrl-D"],
      ["echo 'user-1:login' | rivulet produce events --key-separator :", "with a key"],
      ["tail -F app.log | rivulet produce logs", "ship a log: each line as it is written"],
      [
        `echo '{"key":"user-1","valueJson":{"n":1}}' | rivulet produce events --format json`,
        "a whole record",
      ],
    ],
    load: async () => (await import("./produce.ts")).produce,
  },
  {
    name: "consume",
    positionals: ["TOPIC"],
    summary: "Print records, and follow new ones",
    about:
      "Prints records as they are written and goes on until Ctrl-C. When the node goes away it waits for it and goes on\n" +
      "after the last record that it printed. A null value is printed as null. --key-separator is a tab unless given.",
    options: [
      "url",
      "configFile",
      "partition",
      "from",
      "last",
      "max",
      "untilEnd",
      "printAs",
      "keySeparator",
      "json",
    ],
    examples: [
      ["rivulet consume orders", "what is written from now on"],
      ["rivulet consume orders --until-end", "what is there, then stop"],
      ["rivulet consume orders --from 2026-01-31T12:00:00Z", "since that time, then follow"],
      ["rivulet consume orders --from 1200 --partition 0", "from an offset"],
      ["rivulet consume orders --until-end --format json | jq .key", "whole records"],
    ],
    load: async () => (await import("./consume.ts")).consume,
  },
  {
    name: "verify",
    positionals: ["[DIR]"],
    summary: "Check every stored byte of a stopped node",
    about:
      "Reads everything in a data folder (./rivulet-data unless named) and checks it. Damage is named by file, row,\n" +
      "topic, partition and offset, and makes the exit code 1. It changes nothing. The node must be stopped.",
    options: ["data", "configFile", "json"],
    examples: [
      ["rivulet verify", "check ./rivulet-data"],
      ["rivulet verify /var/lib/rivulet --json", "one JSON object for each damage, then a summary"],
    ],
    load: async () => (await import("./verify.ts")).verify,
  },
  {
    name: "bench",
    positionals: [],
    summary: "Measure a node: write, read, tail",
    about:
      "Measures a running node as its clients see it: writes, then reads what was written, then the time from sending\n" +
      "a record to seeing it in a tail. It uses a topic of its own and deletes it at the end, also after Ctrl-C; then the\n" +
      "figures so far are printed. It writes at most 1 GB, and asks another machine only with --yes.\n" +
      "Beside each part stands how the bench itself fared: a tail as long as its own longest gap is not the node's.",
    options: [
      "url",
      "configFile",
      "topic",
      "durationMs",
      "recordBytes",
      "batch",
      "inFlight",
      "only",
      "yes",
      "json",
    ],
    examples: [
      ["rivulet bench", "ten seconds each of single records of 200 bytes, 64 requests in flight"],
      ["rivulet bench --batch 100 --in-flight 4", "as a client that gathers records writes"],
      ["rivulet bench --only tail --duration 30s", "from sending a record to seeing it"],
      ["rivulet bench --only read --topic orders", "how fast a topic is read; it is not changed"],
      ["rivulet bench --json | jq .phases", "for a program"],
    ],
    load: async () => (await import("./bench.ts")).bench,
  },
  {
    name: "status",
    positionals: [],
    summary: "Ask a node how it is",
    about:
      "Asks a node whether it is ready, and what it holds. The exit code is 1 when it is not ready.\n" +
      "With --watch it goes on, and shows the whole cluster: which nodes are down since when, who leads what, how far the\n" +
      "others are behind, and how long nobody led when a leader was lost. It asks every node that it hears of, and\n" +
      "outlives each of them.",
    options: ["url", "configFile", "watch", "json"],
    examples: [
      ["rivulet status", "the node on this machine"],
      ["rivulet status --watch", "the cluster, live"],
      ["rivulet status --url http://node-2:7480 --json", "another one, for a script"],
    ],
    load: async () => (await import("./status.ts")).status,
  },
  {
    name: "cluster status",
    positionals: [],
    summary: "Show nodes, leaders and who is behind",
    about:
      "Shows every node of the cluster, where it is reached and what it leads, the controller, and the partitions that\n" +
      "have no leader or a replica that is behind. The exit code is 1 when something has no leader.",
    options: ["url", "configFile", "json"],
    examples: [
      ["rivulet cluster status", "for a person"],
      ["rivulet cluster status --json | jq .nodes", "for a program"],
    ],
    load: async () => (await import("./cluster.ts")).clusterStatus,
  },
  {
    name: "cluster add",
    positionals: [],
    summary: "Print the command that starts one more node",
    about:
      "Prints the command line that starts a new node and lets it join. Nothing is changed: the node joins by itself when\n" +
      "it is started, and topics without a replication factor of their own are raised to at most three replicas.",
    options: ["url", "configFile", "json"],
    examples: [["rivulet cluster add", "the command to paste"]],
    load: async () => (await import("./cluster.ts")).clusterAdd,
  },
  {
    name: "cluster remove",
    positionals: ["NODE"],
    summary: "Remove a node for good",
    about:
      "Takes a node out of the cluster: its replicas are moved to the others first, and it can never come back with the\n" +
      "data that it has. For a node that is lost, or that is no longer wanted; a node that only restarts is not removed.\n" +
      "Waits until it is removed. One that is down and alone has some records is removed only with --force.",
    options: ["url", "configFile", "yes", "force", "json"],
    examples: [
      ["rivulet cluster remove 3", "a node that is down"],
      ["rivulet cluster remove 3 --yes", "also when it is up"],
      ["rivulet cluster remove 3 --force", "now, even if records are lost with it"],
    ],
    load: async () => (await import("./cluster.ts")).clusterRemove,
  },
  {
    name: "cluster transfer",
    positionals: ["NODE"],
    summary: "Let another node lead a partition, or the controller",
    about:
      "Hands a leadership to another voter of the group; writers notice next to nothing. It returns when that node leads.",
    options: ["url", "configFile", "ofTopic", "partition", "controller", "json"],
    examples: [
      ["rivulet cluster transfer 2 --topic orders --partition 0", "a partition"],
      ["rivulet cluster transfer 2 --controller", "the controller"],
    ],
    load: async () => (await import("./cluster.ts")).clusterTransfer,
  },
  {
    name: "completion",
    positionals: ["SHELL"],
    summary: "Teach a shell (bash, zsh, fish) to complete this command",
    about:
      "Prints a script for bash, zsh or fish: with it, TAB completes commands, options, their values and, when the node\n" +
      "answers quickly, the names of topics. The command must be on the PATH as rivulet.",
    options: [],
    examples: [
      [`eval "$(rivulet completion bash)"`, "bash, this terminal; in ~/.bashrc every new one"],
      [`eval "$(rivulet completion zsh)"`, "zsh; in ~/.zshrc behind the line that calls compinit"],
      ["rivulet completion fish > ~/.config/fish/completions/rivulet.fish", "fish"],
    ],
    load: async () => (await import("./completion.ts")).completion,
  },
];
