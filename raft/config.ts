// Defaults and checks of Config.
//
// Promise: a configuration that cannot work is refused at construction, with the option, what was wanted and what was
// found. Left to others: what the options mean (types.ts).

import { bug } from "./bug.ts";
import { isStorageThread } from "./message.ts";
import type { Config } from "./types.ts";

/** Every option resolved. */
export type Settings<P> = Required<Config<P>>;

const unlimited = Number.MAX_SAFE_INTEGER;
const mebibyte = 1024 * 1024;

export function settingsOf<P>(config: Config<P>): Settings<P> {
  const maxSizePerMessage = config.maxSizePerMessage ?? mebibyte;
  const settings: Settings<P> = {
    applied: 0,
    electionTicks: 10,
    heartbeatTicks: 1,
    maxCommittedBytesPerReady: maxSizePerMessage,
    maxUncommittedBytes: unlimited,
    maxInflightMessages: 256,
    maxInflightBytes: unlimited,
    checkQuorum: true,
    preVote: true,
    asyncStorageWrites: true,
    stepDownOnRemoval: true,
    disableProposalForwarding: true,
    disableConfChangeValidation: false,
    readOnly: "safe",
    priority: 0,
    electAloneAtOnce: true,
    ownData: noData,
    ...config,
    maxSizePerMessage,
  };
  for (const [name, min] of minimums(settings)) {
    const value = settings[name];
    if (!(Number.isSafeInteger(value) && value >= min)) {
      bug(`Cannot start raft: ${name} must be an integer >= ${min}, got ${value}`);
    }
  }
  if (isStorageThread(settings.id)) bug(`Cannot start raft: id ${settings.id} is reserved`);
  if (settings.readOnly === "leaseBased" && !settings.checkQuorum) {
    bug("Cannot start raft: readOnly leaseBased needs checkQuorum");
  }
  return settings;
}

function minimums(settings: Settings<unknown>) {
  return [
    ["id", 1],
    ["applied", 0],
    ["heartbeatTicks", 1],
    ["electionTicks", settings.heartbeatTicks + 1],
    ["maxSizePerMessage", 0],
    ["maxCommittedBytesPerReady", 0],
    ["maxUncommittedBytes", 0],
    ["maxInflightMessages", 1],
    ["maxInflightBytes", settings.maxSizePerMessage],
    ["priority", 0],
  ] as const;
}

function noData(): null {
  return null;
}
