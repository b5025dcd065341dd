// An answer of lines (NDJSON) that is made as it is read: its head, and its coding if the caller takes one.

import { mediaTypes } from "../contract/names.ts";
import { respond } from "./answer-heads.ts";
import type { Call } from "./call.ts";
import { answerEncoding, encodeStream } from "./content-encoding.ts";

/** 200 with these lines. HEAD has the head alone: nobody would ever read the lines, or leave them. */
export function linesAnswer(
  call: Pick<Call, "visit" | "setHeader">,
  lines: ReadableStream<Uint8Array>,
): Response {
  if (call.visit.request.method === "HEAD") {
    void lines.cancel();
    return respond(call.visit, { status: 200, type: mediaTypes.lines }, null);
  }
  const encoding = answerEncoding(call.visit.headers["accept-encoding"]);
  // Proxies that hold back what is small would hold back the receipts.
  call.setHeader("x-accel-buffering", "no");
  if (encoding !== null) call.setHeader("content-encoding", encoding);
  const head = { status: 200, type: mediaTypes.lines };
  return respond(call.visit, head, encoding === null ? lines : encodeStream(lines, encoding));
}
