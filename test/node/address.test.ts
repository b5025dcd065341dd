// Addresses as operators write them.

import { expect, test } from "bun:test";
import { addressText, parseAddress } from "../../src/address.ts";

for (const [text, host, port, loopback] of [
  ["127.0.0.1:7480", "127.0.0.1", 7480, true],
  ["localhost:0", "localhost", 0, true],
  [":9000", "127.0.0.1", 9000, true],
  ["127.9.9.9:1", "127.9.9.9", 1, true],
  ["[::1]:7480", "::1", 7480, true],
  ["0.0.0.0:7480", "0.0.0.0", 7480, false],
  ["[::]:7480", "::", 7480, false],
  ["node-1.example:65535", "node-1.example", 65535, false],
  ["127.0.0.1.example:1", "127.0.0.1.example", 1, false],
] as const)
  test(`parseAddress() reads ${text}`, () => {
    expect(parseAddress(text)).toEqual({ host, port, loopback });
  });

for (const text of [
  "",
  "7480",
  "127.0.0.1",
  "127.0.0.1:",
  "a:b",
  "::1:7480",
  "127.0.0.1:65536",
  "http://a:1",
  "a b:1",
])
  test(`parseAddress() refuses "${text}"`, () => {
    expect(parseAddress(text)).toBeNull();
  });

for (const text of ["127.0.0.1:7480", "[::1]:7480", "node-1.example:65535"])
  test(`addressText() writes ${text} as it was read`, () => {
    expect(addressText(parseAddress(text)!)).toBe(text);
  });
