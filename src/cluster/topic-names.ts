// Topic names: Kafka's rules, and which names are the node's own.
//
// Promise: a name that passes here is legal on both doors. Left to others: whether the name is taken (cluster-state.ts).

import { limits } from "../limits.ts";

const legal = /^[a-zA-Z0-9._-]+$/;

/** Why the name is no topic name, for a person; null when it is one. Kafka's rules: 1 to 249 of [a-zA-Z0-9._-], and
 *  neither "." nor "..". Source: Kafka 4.3, Topic.java. */
export function topicNameFault(name: string): string | null {
  if (name === "") return "it is empty";
  if (name === "." || name === "..") return `"${name}" is not allowed`;
  if (name.length > limits.topicNameCharsMax)
    return `it has ${name.length} characters, at most ${limits.topicNameCharsMax} are allowed`;
  if (!legal.test(name)) return `only a-z, A-Z, 0-9, ".", "_" and "-" are allowed, got "${name}"`;
  return null;
}

/** Two names with one collision key cannot both exist: Kafka's metric names turn "." into "_", so tools that read them
 *  would mix the two topics up. */
export function collisionKey(name: string): string {
  return name.replaceAll(".", "_");
}

/** Names that begin with two underscores belong to the node (`__consumer_offsets`, `__transaction_state`, ...). */
export function isInternalTopic(name: string): boolean {
  return name.startsWith("__");
}
