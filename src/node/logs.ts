// The node's log: one line an event, with fields; pretty for a person, a JSON object for a program.
//
// Promise: a line is written whole; a level below the wanted one costs a comparison. Left to others: what is worth a
// line, where lines go.

import type { World } from "../world.ts";

const levels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof levels)[number];

/** What a line says beside its message. An Error is told by its message, at debug level with its stack. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  readonly level: LogLevel;
  write(level: LogLevel, message: string, fields?: LogFields): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: "pretty" | "json";
  readonly world: World;
  /** Takes one line, line feed included. */
  readonly write: (line: string) => void;
}

export function createLog({ level, format, world, write }: LogOptions): Log {
  const least = levels.indexOf(level);
  const show = format === "json" ? jsonLine : prettyLine;
  return {
    level,
    write(of, message, fields = {}) {
      if (levels.indexOf(of) < least) return;
      const time = new Date(world.now()).toISOString();
      write(`${show({ time, level: of, message, fields: plain(fields, level === "debug") })}\n`);
    },
  };
}

/** A log that says nothing: for nodes inside tests. */
export const silentLog: Log = { level: "error", write: () => undefined };

interface Line {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

function jsonLine({ fields, ...line }: Line): string {
  return JSON.stringify({ ...line, ...fields });
}

function prettyLine({ time, level, message, fields }: Line): string {
  const told = Object.entries(fields).map(([name, value]) => ` ${name}=${shown(value)}`);
  return `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${message}${told.join("")}`;
}

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return typeof value === "string" && /[\s"=]/.test(value) ? JSON.stringify(value) : text;
}

/** Fields as JSON can hold them: errors as text, undefined left out. */
function plain(fields: LogFields, withStack: boolean): LogFields {
  const told = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    told.map(([name, value]) => [
      name,
      value instanceof Error ? errorText(value, withStack) : value,
    ]),
  );
}

function errorText(error: Error, withStack: boolean): string {
  const cause = error.cause instanceof Error ? `; cause: ${errorText(error.cause, withStack)}` : "";
  return `${withStack ? (error.stack ?? error.message) : error.message}${cause}`;
}
