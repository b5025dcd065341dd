// `npm test` and `bun run test`: every test under test/, and one closing line that says how many there were.
//
//   N passed, N failed[, N skipped]
//
// Promise: the counts are the runner's own; a file that could not be loaded counts as a failure, so does a runner that
// died without a summary; the exit code is 0 exactly when nothing failed. Arguments go to `bun test` (names of files).

import { summaryOf, closingLine } from "./test-summary.ts";

const child = Bun.spawn([process.execPath, "test", ...process.argv.slice(2)], {
  cwd: `${import.meta.dir}/..`,
  stdin: "ignore",
  stdout: "inherit",
  stderr: "pipe",
});

const decoder = new TextDecoder();
let tail = "";
const reader = child.stderr.getReader();
// A process that a test left behind holds the pipe open: what the runner itself wrote is here soon after its end.
void child.exited.then(() => setTimeout(() => void reader.cancel(), 1_000));
for (;;) {
  const { done, value } = await reader.read();
  if (done) break;
  process.stderr.write(value);
  tail = (tail + decoder.decode(value, { stream: true })).slice(-4_096);
}
const summary = summaryOf(tail, await child.exited);
console.log(`\n${closingLine(summary)}`);
process.exit(summary.failed === 0 ? 0 : 1);
