// Runs the confchange scripts: `simple`, `enter-joint [autoleave=true]` and `leave-joint`, with steps such as "v1 l2 r3
// u4" as input, on a configuration that starts empty. The last index grows by one with each command.

import { enterJoint, leaveJoint, simpleChange, type Base } from "../../raft/confchange.ts";
import { describeConfiguration, describeProgress } from "../../raft/describe.ts";
import { progressStatus } from "../../raft/status.ts";
import { emptyConfiguration, type Members } from "../../raft/tracker.ts";
import type { ConfChangeStep, ConfChangeType } from "../../raft/types.ts";
import { valuesOf, type Handler, type Stanza } from "./datadriven.ts";

const letters: Readonly<Record<string, ConfChangeType>> = {
  v: "addVoter",
  l: "addLearner",
  r: "remove",
  u: "update",
};

export function parseSteps(text: string): ConfChangeStep[] {
  const words = text
    .trim()
    .split(/\s+/)
    .filter((word) => word !== "");
  return words.map((word) => {
    const type = letters[word[0]];
    if (type === undefined) throw new Error(`unknown step ${word}`);
    return { type, id: Number(word.slice(1)) };
  });
}

export function confchangeHandler(): Handler {
  let base: Base = {
    configuration: emptyConfiguration,
    members: new Map(),
    lastIndex: 0,
    window: { maxMessages: 10, maxBytes: Number.MAX_SAFE_INTEGER },
  };
  return (stanza) => {
    const result = run(base, stanza);
    base = { ...base, lastIndex: base.lastIndex + 1 };
    if (!result.ok) return result.reason;
    base = { ...base, configuration: result.configuration, members: result.members };
    return `${describeConfiguration(result.configuration)}\n${describeMembers(result.members)}`;
  };
}

function run(base: Base, stanza: Stanza) {
  const steps = parseSteps(stanza.input);
  if (stanza.command === "simple") return simpleChange(base, steps);
  if (stanza.command === "leave-joint") return leaveJoint(base);
  return enterJoint(base, { autoLeave: valuesOf(stanza, "autoleave")[0] === "true" }, steps);
}

function describeMembers(members: Members): string {
  const ids = [...members.keys()].sort((a, b) => a - b);
  return ids.map((id) => `${id}: ${describeProgress(progressStatus(members.get(id)!))}\n`).join("");
}
