// Bytes of a stream, cut into lines.
//
// Promise: a line's bytes are as they came (no decoding, a carriage return stays), without the line feed; the last line
// needs none; memory is bounded by `lineBytesMax`, beyond which the line is refused by its number.

import { Failure } from "./failure.ts";

const lineFeed = 0x0a;

/** The lines that became whole with one chunk, so that what came together can travel together. Owned. */
export async function* lineGroups(
  input: AsyncIterable<Uint8Array>,
  lineBytesMax: number,
): AsyncGenerator<readonly Uint8Array[]> {
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  let count = 0;
  for await (const chunk of input) {
    const lines: Uint8Array[] = [];
    let from = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, from)) {
      lines.push(join([...rest, chunk.subarray(from, end)]));
      [rest, restBytes, from] = [[], 0, end + 1];
    }
    if (from < chunk.length) {
      rest.push(chunk.slice(from));
      restBytes += chunk.length - from;
    }
    count += lines.length;
    if (lines.length > 0) yield lines;
    if (restBytes > lineBytesMax)
      throw new Failure(`Line ${count + 1} is longer than ${lineBytesMax} bytes`);
  }
  if (rest.length > 0) yield [join(rest)];
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
