// etcd/raft's quorum and confchange scripts, byte for byte.

import { describe, expect, test } from "bun:test";
import { confchangeHandler } from "./confchange-script.ts";
import { runScript, type Handler } from "./datadriven.ts";
import { etcdScripts } from "./etcd-scripts.ts";
import { quorumHandler } from "./quorum-script.ts";

const sets: readonly { set: "quorum" | "confchange"; files: number; handler: () => Handler }[] = [
  { set: "quorum", files: 4, handler: () => quorumHandler },
  { set: "confchange", files: 9, handler: confchangeHandler },
];

for (const { set, files, handler } of sets) {
  const scripts = etcdScripts(set);
  describe.skipIf(scripts === null)(`etcd's ${set} scripts (skipped when absent)`, () => {
    test(`all ${files} are here`, () => {
      expect(scripts!.length).toBe(files);
    });
    for (const { name, text } of scripts ?? []) {
      test(`${name} gives the same output, byte for byte`, () => {
        expect(runScript(text, handler())).toBeNull();
      });
    }
  });
}
