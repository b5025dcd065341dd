import { describe, expect, test } from "bun:test";
import { nextJob } from "../../src/journal/janitor-plan.ts";
import { JournalFile, type FileState } from "../../src/journal/journal-files.ts";

/** Files by a drawing: "s 10/100" is sealed with 10 live of 100 bytes; f full, a active, ! damaged. */
function files(...drawings: readonly string[]): JournalFile[] {
  return drawings.map((drawing, i) => {
    const [, letter, live, total, mark] = /^(\w) (\d+)\/(\d+)(!?)$/.exec(drawing)!;
    const states: Record<string, FileState> = { s: "sealed", f: "full", a: "active" };
    const range = { firstLsn: i * 10 + 1, lastLsn: i * 10 + 10 };
    const name = String(i);
    const file = new JournalFile({
      name,
      state: states[letter],
      range,
      generation: 0,
      fileBytes: 0,
    });
    file.liveBytes = Number(live);
    file.totalBytes = Number(total);
    file.damaged = mark === "!";
    return file;
  });
}

/** The job as text: "seal 0,1", "remove 2", "roll", "none". */
function jobOf(...drawings: readonly string[]): string {
  const job = nextJob(files(...drawings), 100);
  if (job === null) return "none";
  if (job.kind === "seal") return `seal ${job.inputs.map((file) => file.name).join()}`;
  return job.kind === "remove" ? `remove ${job.file.name}` : "roll";
}

describe("nextJob()", () => {
  const table: [string, string, string[]][] = [
    ["nothing to do beside a young active file", "none", ["a 10/10"]],
    ["a wholly dead file goes first, unread", "remove 1", ["f 90/100", "f 0/100", "a 1/1"]],
    ["a dead damaged file goes too", "remove 0", ["s 0/100!", "a 1/1"]],
    ["the active file is never removed", "none", ["a 0/5"]],
    ["the oldest full file is sealed first", "seal 0", ["f 90/100", "f 90/100", "a 1/1"]],
    ["a small sealed neighbour is taken along", "seal 0,1", ["s 30/30", "f 60/100", "a 1/1"]],
    ["a larger sealed neighbour is not", "seal 1", ["s 60/60", "f 30/100", "a 1/1"]],
    ["nor one that does not fit", "seal 1", ["s 60/60", "f 70/100", "a 1/1"]],
    [
      "tiers: the sum may take the next one",
      "seal 0,1,2",
      ["s 40/40", "s 20/20", "f 25/90", "a 1/1"],
    ],
    ["a damaged full file is left as it is", "seal 1", ["f 50/100!", "f 60/100", "a 1/1"]],
    ["a mostly dead sealed file is written anew", "seal 0", ["s 20/90", "a 1/1"]],
    ["a half dead one is not", "none", ["s 50/90", "a 1/1"]],
    ["a mostly dead small one gains too little", "none", ["s 2/10", "a 1/1"]],
    ["a mostly dead active file rolls early", "roll", ["s 50/50", "a 10/60"]],
  ];
  for (const [name, wanted, drawing] of table)
    test(name, () => expect(jobOf(...drawing)).toBe(wanted));
});
