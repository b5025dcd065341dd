// One table of options: flags, RIVULET_* variables, the config file's keys and --help all come from it.
//
//   flag  >  variable  >  config file  >  default        (a layered list: all of them, name by name)
//
// Promise: an option that is not in the table does not exist. Left to others: how values are read and checked
// (option-values.ts), which command takes which option (cli/commands.ts), what an option does, how a file is read
// (cli/config-file.ts).

export interface Option {
  /** Without the dashes. */
  readonly flag: string;
  /** null: there is no such variable, because the option is one command's, not the machine's. */
  readonly env: string | null;
  readonly kind: "text" | "integer" | "choice" | "flag" | "list" | "duration";
  /** As --help shows it; null: none, and the option may be absent. */
  readonly default: string | number | boolean | null;
  /** Inclusive; of integers, and of durations in ms. */
  readonly min?: number;
  readonly max?: number;
  /** Allowed values of a choice, and of a list's places. */
  readonly choices?: readonly string[];
  /** What a text, or each place of a list, must look like. */
  readonly form?: "address" | "url";
  /** Never shown, and worth a warning where others can see it: on a command line. */
  readonly secret?: true;
  /** A list whose places hold names: a nearer layer adds to the ones below instead of taking their place. */
  readonly layered?: true;
  /** What stands for the value in --help: DIR, HOST:PORT, MS. */
  readonly unit: string;
  /** One sentence for a person. */
  readonly why: string;
}

/** Every option of every command, in the order of --help. */
export const optionTable = {
  data: {
    flag: "data",
    env: "RIVULET_DATA",
    kind: "text",
    default: "./rivulet-data",
    unit: "DIR",
    why: "The folder that holds everything the node keeps; made when it is not there",
  },
  http: {
    flag: "http",
    env: "RIVULET_HTTP",
    kind: "text",
    default: "127.0.0.1:7480",
    form: "address",
    unit: "HOST:PORT",
    why: "Where the HTTP door listens; port 0 takes a free one",
  },
  insecure: {
    flag: "insecure",
    env: "RIVULET_INSECURE",
    kind: "flag",
    default: false,
    unit: "",
    why: "Allow an address beyond this machine: whoever reaches it may read, write and delete",
  },
  corsOrigins: {
    flag: "cors-origin",
    env: "RIVULET_CORS_ORIGIN",
    kind: "list",
    default: null,
    unit: "ORIGIN",
    why: "An origin whose web pages may ask; may be given more than once",
  },
  peer: {
    flag: "peer",
    env: "RIVULET_PEER",
    kind: "text",
    default: null,
    form: "address",
    unit: "HOST:PORT",
    why: "Where the other nodes of a cluster reach this one; without it the node is alone",
  },
  join: {
    flag: "join",
    env: "RIVULET_JOIN",
    kind: "list",
    default: null,
    form: "url",
    unit: "URL",
    why: "A node of the cluster to join at the first start; may be given more than once",
  },
  advertiseHttp: {
    flag: "advertise-http",
    env: "RIVULET_ADVERTISE_HTTP",
    kind: "text",
    default: null,
    form: "url",
    unit: "URL",
    why: "Where clients reach this node's HTTP door; the default is --http where others can reach that",
  },
  advertisePeer: {
    flag: "advertise-peer",
    env: "RIVULET_ADVERTISE_PEER",
    kind: "text",
    default: null,
    form: "address",
    unit: "HOST:PORT",
    why: "Where the other nodes reach this one; the default is --peer, needed when that is 0.0.0.0 or [::]",
  },
  region: {
    flag: "region",
    env: "RIVULET_REGION",
    kind: "text",
    default: null,
    unit: "NAME",
    why: "Where the node stands, e.g. eu-west",
  },
  clusterSecret: {
    flag: "cluster-secret",
    env: "RIVULET_CLUSTER_SECRET",
    kind: "text",
    default: null,
    secret: true,
    unit: "TEXT",
    why: "What every node of the cluster knows and nobody else, 16 characters or more; better in a file",
  },
  clusterSecretFile: {
    flag: "cluster-secret-file",
    env: "RIVULET_CLUSTER_SECRET_FILE",
    kind: "text",
    default: null,
    unit: "FILE",
    why: "A file that holds the cluster's secret",
  },
  peerTlsCert: {
    flag: "peer-tls-cert",
    env: "RIVULET_PEER_TLS_CERT",
    kind: "text",
    default: null,
    unit: "FILE",
    why: "TLS between nodes: this node's certificate (PEM), shown to those that it calls as well",
  },
  peerTlsKey: {
    flag: "peer-tls-key",
    env: "RIVULET_PEER_TLS_KEY",
    kind: "text",
    default: null,
    unit: "FILE",
    why: "TLS between nodes: the key of that certificate (PEM)",
  },
  peerTlsCa: {
    flag: "peer-tls-ca",
    env: "RIVULET_PEER_TLS_CA",
    kind: "text",
    default: null,
    unit: "FILE",
    why: "TLS between nodes: the authority (PEM) that must have signed every node's certificate",
  },
  durability: {
    flag: "durability",
    env: "RIVULET_DURABILITY",
    kind: "choice",
    choices: ["full", "os"],
    default: "full",
    unit: "full|os",
    why: "full: on the disk before an answer. os: in the system's hands, lost with the machine's power",
  },
  config: {
    flag: "config",
    env: "RIVULET_CONFIG",
    kind: "list",
    layered: true,
    default: null,
    unit: "NAME=VALUE",
    why: "A broker setting under Kafka's name, e.g. num.partitions=3; may be given more than once",
  },
  configFile: {
    flag: "config-file",
    env: "RIVULET_CONFIG_FILE",
    kind: "text",
    default: null,
    unit: "FILE",
    why: "A TOML file with options under their flags' names; a flag or a variable wins over it",
  },
  stopTimeoutMs: {
    flag: "stop-timeout-ms",
    env: "RIVULET_STOP_TIMEOUT_MS",
    kind: "integer",
    default: 10_000,
    min: 0,
    max: 600_000,
    unit: "MS",
    why: "How long requests under way may take once the node was told to stop",
  },
  logLevel: {
    flag: "log-level",
    env: "RIVULET_LOG_LEVEL",
    kind: "choice",
    choices: ["debug", "info", "warn", "error"],
    default: "info",
    unit: "debug|info|warn|error",
    why: "The least important line that is logged; logs go to standard error",
  },
  logFormat: {
    flag: "log-format",
    env: "RIVULET_LOG_FORMAT",
    kind: "choice",
    choices: ["auto", "pretty", "json"],
    default: "auto",
    unit: "auto|pretty|json",
    why: "auto: pretty on a terminal, a JSON object a line elsewhere",
  },
  url: {
    flag: "url",
    env: "RIVULET_URL",
    kind: "text",
    default: "http://127.0.0.1:7480",
    unit: "URL",
    why: "The node to ask",
  },
  partitions: {
    flag: "partitions",
    env: null,
    kind: "integer",
    default: null,
    min: 1,
    max: 10_000,
    unit: "N",
    why: "Number of partitions",
  },
  replicationFactor: {
    flag: "replication-factor",
    env: null,
    kind: "integer",
    default: null,
    min: 1,
    max: 32_767,
    unit: "N",
    why: "Number of replicas of each partition",
  },
  set: {
    flag: "set",
    env: null,
    kind: "list",
    default: null,
    unit: "NAME=VALUE",
    why: "A topic config, e.g. retention.ms=3600000; may be given more than once",
  },
  reset: {
    flag: "reset",
    env: null,
    kind: "list",
    default: null,
    unit: "NAME",
    why: "A topic config that goes back to its default; may be given more than once",
  },
  prefix: {
    flag: "prefix",
    env: null,
    kind: "text",
    default: null,
    unit: "TEXT",
    why: "Only topics whose name begins so",
  },
  internal: {
    flag: "internal",
    env: null,
    kind: "flag",
    default: false,
    unit: "",
    why: "Show the topics that Rivulet keeps for itself too",
  },
  partition: {
    flag: "partition",
    env: null,
    kind: "integer",
    default: null,
    min: 0,
    max: 9_999,
    unit: "N",
    why: "Only this partition",
  },
  from: {
    flag: "from",
    env: null,
    kind: "text",
    default: null,
    unit: "WHERE",
    why: "earliest, latest, an offset, or a time as RFC 3339; the default is latest, with --until-end earliest",
  },
  last: {
    flag: "last",
    env: null,
    kind: "integer",
    default: null,
    min: 0,
    max: 1_000_000,
    unit: "N",
    why: "Begin with the last N records of each partition",
  },
  max: {
    flag: "max",
    env: null,
    kind: "integer",
    default: null,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    unit: "N",
    why: "Stop after N records",
  },
  untilEnd: {
    flag: "until-end",
    env: null,
    kind: "flag",
    default: false,
    unit: "",
    why: "Stop at the end of the topic as it is now, instead of waiting for more",
  },
  printAs: {
    flag: "format",
    env: null,
    kind: "choice",
    choices: ["value", "json", "kv"],
    default: "value",
    unit: "value|json|kv",
    why: "value: the value alone. kv: key, separator, value. json: the whole record, an object a line",
  },
  readAs: {
    flag: "format",
    env: null,
    kind: "choice",
    choices: ["value", "json"],
    default: "value",
    unit: "value|json",
    why: "value: a line is a value. json: a line is a record, as `consume --format json` prints it",
  },
  keySeparator: {
    flag: "key-separator",
    env: null,
    kind: "text",
    default: null,
    unit: "TEXT",
    why: "What parts key and value in a line; \\t is a tab",
  },
  topic: {
    flag: "topic",
    env: null,
    kind: "text",
    default: null,
    unit: "TOPIC",
    why: "Use this topic, not one of its own. One that is there is written to only with --yes, and stays",
  },
  ofTopic: {
    flag: "topic",
    env: null,
    kind: "text",
    default: null,
    unit: "TOPIC",
    why: "The topic whose partition is meant",
  },
  controller: {
    flag: "controller",
    env: null,
    kind: "flag",
    default: false,
    unit: "",
    why: "The controller is meant: the group that knows nodes and topics",
  },
  force: {
    flag: "force",
    env: null,
    kind: "flag",
    default: false,
    unit: "",
    why: "At once, with whatever that node alone has: those records are lost",
  },
  watch: {
    flag: "watch",
    env: null,
    kind: "flag",
    default: false,
    unit: "",
    why: "Go on until Ctrl-C: a live table of nodes, leaders, lags and gaps; a line an event elsewhere than on a terminal",
  },
  durationMs: {
    flag: "duration",
    env: null,
    kind: "duration",
    default: "10s",
    min: 100,
    max: 3_600_000,
    unit: "TIME",
    why: "How long each part is measured: 500ms, 10s, 2m",
  },
  recordBytes: {
    flag: "record-bytes",
    env: null,
    kind: "integer",
    default: 200,
    min: 1,
    max: 1_000_000,
    unit: "BYTES",
    why: "Size of each record's value",
  },
  batch: {
    flag: "batch",
    env: null,
    kind: "integer",
    default: 1,
    min: 1,
    max: 10_000,
    unit: "N",
    why: "Records a write request",
  },
  inFlight: {
    flag: "in-flight",
    env: null,
    kind: "integer",
    default: 64,
    min: 1,
    max: 256,
    unit: "N",
    why: "Write requests under way at once",
  },
  only: {
    flag: "only",
    env: null,
    kind: "list",
    choices: ["write", "read", "tail"],
    default: null,
    unit: "PART,...",
    why: "Measure only these: write, read, tail; the default is all three",
  },
  yes: {
    flag: "yes",
    env: null,
    kind: "flag",
    default: false,
    unit: "",
    why: "Confirm that what is named is meant: another machine, a topic that is there, a node that is up",
  },
  json: {
    flag: "json",
    env: null,
    kind: "flag",
    default: false,
    unit: "",
    why: "Answer in JSON on standard output",
  },
} as const satisfies Record<string, Option>;

export type OptionName = keyof typeof optionTable;

/** What makes a node one of several; without the first, the others make no sense. */
export const peerOptionNames = [
  "peer",
  "join",
  "advertiseHttp",
  "advertisePeer",
  "region",
  "clusterSecret",
  "clusterSecretFile",
  "peerTlsCert",
  "peerTlsKey",
  "peerTlsCa",
] as const satisfies readonly OptionName[];

type ValueOf<O extends Option> = O["kind"] extends "flag"
  ? boolean
  : O["kind"] extends "list"
    ? readonly string[]
    : Optional<O, O["kind"] extends "integer" | "duration" ? number : ChoiceOf<O>>;
type Optional<O extends Option, Value> = O["default"] extends null ? Value | null : Value;
type ChoiceOf<O extends Option> = O extends { choices: readonly (infer Choice)[] }
  ? Choice
  : string;

/** The values of all options; those that a command does not take have their defaults. */
export type Options = { readonly [Name in OptionName]: ValueOf<(typeof optionTable)[Name]> };

/** A flag as it stood on the command line; true for a flag without a value. */
export interface GivenFlag {
  readonly flag: string;
  readonly value: string | true;
}

/** A value that cannot be used: what a person reads, and exit code 2. */
export interface OptionFault {
  readonly ok: false;
  readonly message: string;
}

/** One value of a config file; `origin` is "rivulet.toml line 3". */
export interface FileValue {
  readonly flag: string;
  readonly values: readonly string[];
  readonly origin: string;
}

/** What a config file gives, checked by its reader; a list may stand there in several places. */
export type FileLayer = readonly FileValue[];

/** Where values come from, the strongest first. */
export interface OptionSources {
  readonly flags: readonly GivenFlag[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: FileLayer;
}

/** What one source gave: "--http", "RIVULET_HTTP" or "rivulet.toml line 3", and the texts there. */
export interface Given {
  readonly origin: string;
  readonly values: readonly (string | true)[];
}

/** What was used of each option that was given, the weakest first; an option at its default is not there. */
export type Origins = ReadonlyMap<OptionName, readonly Given[]>;
