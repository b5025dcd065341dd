// GET /v1/topics/{t}/tail: server-sent events with exact resume. The route; each connection is a Tailer.

import { headerNames, mediaTypes } from "../contract/names.ts";
import { respond } from "./answer-heads.ts";
import type { Call } from "./call.ts";
import { readCursor } from "./cursor.ts";
import {
  askedPartitions,
  readFields,
  resolveStart,
  tooManyToTail,
  unknownTopic,
} from "./positions.ts";
import { filterOf } from "./record-filter.ts";
import { route, type Fields, type Route } from "./route.ts";
import { TailReader } from "./tail-reader.ts";
import { Tailer } from "./tailer.ts";

const tailHeaders = {
  [headerNames.lastEventId]: {
    schema: {
      type: "string",
      description: "The cursor behind the last event; wins over cursor and from",
    },
  },
} as const satisfies Fields;

type TailCall = Call<typeof readFields, typeof tailHeaders>;

export const tailRoutes: readonly Route[] = [
  route({
    id: "tailTopic",
    method: "GET",
    path: "/v1/topics/{topic}/tail",
    summary: "Follow a topic live (server-sent events)",
    action: "read",
    resource: "topic",
    query: readFields,
    headers: tailHeaders,
    answers: {
      200: {
        description:
          "One record an event, unnamed; its id is the cursor behind it. Named events: checkpoint (an id alone), gap, problem, end",
        shape: null,
        mediaType: mediaTypes.events,
      },
      204: { description: "The topic of Last-Event-ID was deleted: do not come back", shape: null },
    },
    handle: handleTail,
  }),
];

async function handleTail(call: TailCall): Promise<Response> {
  const { services } = call;
  const lastEventId = call.header[headerNames.lastEventId];
  const view = services.broker.topic(call.topic);
  if (view === null) {
    return lastEventId === undefined ? call.refuse(unknownTopic(call)) : gone(call);
  }
  const filter = filterOf(call.query);
  if (filter !== null && "ok" in filter) return call.refuse(filter);
  const resumed = lastEventId === undefined || lastEventId === "" ? null : lastEventId;
  const start = await resolveStart(services, {
    view,
    query: resumed === null ? call.query : cursorOnly(resumed),
    partitions: askedPartitions(-1, call.query.partition),
    otherwise: "latest",
    filter,
  });
  if (!start.ok) return call.refuse(start);
  const tooMany = tooManyToTail(start.positions.length);
  if (tooMany !== null) return call.refuse(tooMany);
  // HEAD wants the head alone: nobody would ever read or cancel the body.
  if (call.visit.request.method === "HEAD") return events(call, null);
  const refused = services.waiters.enter();
  if (refused !== null) return call.refuse(refused);
  const { name: topic, topicId } = view;
  const subject = { topic, topicId, as: call.query.as ?? "auto", filter, all: start.all };
  const reader = new TailReader(services, subject, start.positions);
  return events(call, new Tailer(services, reader, call.visit.requestId));
}

/** What Last-Event-ID says wins over the query's own start. */
function cursorOnly(cursor: string): {
  readonly cursor: string;
  readonly from: undefined;
  readonly offset: undefined;
  readonly last: undefined;
  readonly timestamp: undefined;
} {
  return { cursor, from: undefined, offset: undefined, last: undefined, timestamp: undefined };
}

/** An EventSource stops coming back at 204. */
function gone(call: TailCall): Response {
  const { visit } = call;
  if (readCursor(call.header[headerNames.lastEventId] ?? "") === null) {
    return call.refuse(unknownTopic(call));
  }
  return respond(visit, { status: 204, type: null }, null);
}

function events(call: TailCall, tailer: Tailer | null): Response {
  call.setHeader("cache-control", "no-cache, no-transform");
  // Proxies that hold back what is small would hold back the tail.
  call.setHeader("x-accel-buffering", "no");
  const head = { status: 200, type: mediaTypes.events };
  return respond(call.visit, head, tailer?.stream() ?? null);
}
