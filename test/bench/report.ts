// How a bench is asked and how it answers: the flags that every bench takes, and tables for a person or for a program.
//
//   --smoke          a fraction of a second each: shows that the bench runs, its figures mean nothing
//   --json           one JSON object a table and line: {bench, table, rows, notes}
//   --no-conditions  the runner has printed the conditions once, for all
//
// Promise: figures are never judged here; a bench fails only when it throws. Units stand in the column's name.

import { printConditions } from "./conditions.ts";

/** A line of a table by column name; null where there is nothing to say. */
export type BenchRow = Readonly<Record<string, string | number | null>>;

export interface BenchReport {
  /** Run only as long as it takes to see that nothing crashes. */
  readonly smoke: boolean;
  /** The value after `--name`, or null. */
  flag(name: string): string | null;
  /** Prints a table. Columns are those of all rows, in order of first appearance. */
  table(title: string, rows: readonly BenchRow[], notes?: readonly string[]): void;
}

/** Reads the command line and prints the conditions where the runner did not. `bench` names the bench in JSON. */
export function openReport(bench: string, args: readonly string[] = process.argv): BenchReport {
  const json = args.includes("--json");
  if (!json && !args.includes("--no-conditions")) printConditions();
  return {
    smoke: args.includes("--smoke"),
    flag: (name) => flagOf(args, name),
    table(title, rows, notes = []) {
      if (json) console.log(JSON.stringify({ bench, table: title, rows, notes }));
      else
        console.log(
          ["", ...tableLines(title, rows), ...notes.map((note) => `  ${note}`)].join("\n"),
        );
    },
  };
}

export function flagOf(args: readonly string[], name: string): string | null {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? null : (args[at + 1] ?? null);
}

/** Text to the left, numbers to the right; the first column is what the row is about. */
export function tableLines(title: string, rows: readonly BenchRow[]): string[] {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = rows.map((row) => columns.map((column) => cell(row[column] ?? null)));
  const widths = columns.map((column, i) =>
    cells.reduce((width, row) => Math.max(width, row[i].length), column.length),
  );
  const line = (texts: readonly string[]) =>
    `  ${texts
      .map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i])))
      .join("  ")
      .trimEnd()}`;
  return [title, line(columns), ...cells.map(line)];
}

/** Three significant digits at least, no more than a person compares. */
function cell(value: string | number | null): string {
  if (value === null) return "-";
  if (typeof value === "string") return value;
  if (Number.isInteger(value) || Math.abs(value) >= 100)
    return Math.round(value).toLocaleString("en");
  return value.toPrecision(3);
}

/** The value at `part` (0 to 1) of the values, by nearest rank; NaN of none. Sorts a copy. */
export function quantile(values: readonly number[] | Float64Array, part: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length))] ?? Number.NaN;
}
