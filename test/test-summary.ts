// The summary at the end of what `bun test` prints, as numbers and as the closing line.

export interface TestSummary {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Reads the summary from the end of the output. Without one, or when the runner failed for a reason of its own (no
 *  test matched, it was killed), one more failure counts. */
export function summaryOf(output: string, exitCode: number): TestSummary {
  const number = (word: string): number => {
    const lines = [...output.matchAll(new RegExp(`^\\s*(\\d+) ${word}$`, "gm"))];
    return Number(lines.at(-1)?.[1] ?? 0);
  };
  const failed = number("fail");
  return {
    passed: number("pass"),
    failed: exitCode !== 0 && failed === 0 ? 1 : failed,
    skipped: number("skip") + number("todo"),
  };
}

export function closingLine({ passed, failed, skipped }: TestSummary): string {
  const counts = `${passed} passed, ${failed} failed`;
  return skipped === 0 ? counts : `${counts}, ${skipped} skipped`;
}
