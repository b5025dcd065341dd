// Rivulet-Forward: false: the caller wants to be sent to the leader, instead of having its request carried there.
//
//   one partition, led elsewhere, body not begun  ->  307, Location at the leader's own URL
//   everything else                               ->  this node answers, and carries to the leader what is the leader's
//
// Promise: decided before the body is read, so that 307 always means that nothing has happened; a streamed body is
// carried, because fetch cannot send it twice. Left to others: carrying (the broker).

import { headerNames, mediaTypes } from "../contract/names.ts";
import { respond } from "./answer-heads.ts";
import { leavesBody, type Call } from "./call.ts";
import type { Answer } from "./route.ts";

/** What routes with `redirects` may answer too. */
export const redirectAnswers: Readonly<Record<number, Answer>> = {
  307: {
    description: "Rivulet-Forward was false, and another node leads the partition",
    shape: "Redirect",
    headers: ["location"],
  },
};

/** The answer that sends the caller to the leader; null: this node goes on. Cost without the header: one look-up. */
export function redirectOf(call: Call): Response | null {
  const header = call.header as { readonly [headerNames.forward]?: boolean };
  if (header[headerNames.forward] !== false || call.route.redirects !== true) return null;
  if (call.consistency === "local" || isStreamed(call)) return null;
  const partition = onlyPartition(call);
  if (partition === null) return null;
  const { broker } = call.services;
  const leader = broker.leaderOf(call.topic, partition);
  if (leader === null || leader.http === null) return null;
  if (leader.nodeId === broker.status().nodeId) return null;
  const { visit } = call;
  const location = `${leader.http}${visit.path}${visit.search === "" ? "" : `?${visit.search}`}`;
  call.setHeader("location", location);
  call.setHeader(headerNames.leader, String(leader.nodeId));
  if (leavesBody(visit)) call.setHeader("connection", "close");
  const text = `${JSON.stringify({ leader: leader.nodeId, location })}\n`;
  return respond(visit, { status: 307, type: mediaTypes.json }, text);
}

/** The partition of the path, or the topic's only one. */
function onlyPartition({ partition, topic, services }: Call): number | null {
  if (partition >= 0) return partition;
  return services.broker.topic(topic)?.partitions === 1 ? 0 : null;
}

function isStreamed({ visit, mediaType }: Call): boolean {
  if (visit.request.body === null) return false;
  return visit.headers["content-length"] === undefined || mediaType === mediaTypes.lines;
}
