// Verifies a data folder in a process of its own (verify.ts says why) and prints one JSON object a damage.
//
//   bun test/durability/verify-folder.ts DIR        exit code 0: nothing found, 1: damage

import { verifyFolder } from "../../src/journal/verify.ts";

const report = verifyFolder(process.argv[2]);
if ("heldBy" in report) throw new Error("A node holds the folder");
for (const { file, lsn, groupId, baseOffset, offsetCount, detail } of report.damage) {
  const [topicId, partition = null] = groupId?.split("/") ?? [null];
  const place = { topicId, partition: partition === null ? null : Number(partition) };
  console.log(
    JSON.stringify({ file, row: lsn, ...place, offset: baseOffset, offsetCount, detail }),
  );
}
process.exit(report.damage.length === 0 ? 0 : 1);
