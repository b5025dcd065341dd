// etcd/raft's interaction scripts, in semantic mode: every line but those of its logger.

import { describe, expect, test } from "bun:test";
import { parseScript, runScript } from "./datadriven.ts";
import { etcdScripts } from "./etcd-scripts.ts";
import { interactionHandler, withoutLog } from "./interaction-script.ts";

/** Scripts that this core does not follow, and why. */
const exceptions: Readonly<Record<string, string>> = {};

const scripts = etcdScripts("interaction");

describe.skipIf(scripts === null)("etcd's interaction scripts (skipped when absent)", () => {
  test("all 28 are here", () => {
    expect(scripts!.length).toBe(28);
  });
  for (const { name, text } of scripts ?? []) {
    test.skipIf(exceptions[name] !== undefined)(`${name} runs as written, logger apart`, () => {
      expect(runScript(text, interactionHandler(), withoutLog)).toBeNull();
    });
    test(`${name} breaks no invariant with asynchronous storage writes`, () => {
      const handler = interactionHandler({ asynchronous: true });
      for (const stanza of parseScript(text)) handler(stanza);
    });
  }
});
