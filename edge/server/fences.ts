// PUT|DELETE .../partitions/{p}/fence: the token that conditional writes must show, so that a writer that was replaced is
// kept out. Left to others: comparing it (the partition), showing it (Rivulet-Fence, write.ts).

import { headerNames } from "../contract/names.ts";
import { fenceSchema } from "../contract/shapes.ts";
import type { Call } from "./call.ts";
import { unknownTopic } from "./positions.ts";
import { route, type Answer, type Fields, type Route } from "./route.ts";

const path = "/v1/topics/{topic}/partitions/{partition}/fence";
const answers: Readonly<Record<number, Answer>> = {
  200: { description: "What holds for every append behind this answer", shape: "Fence" },
};

const clearHeaders = {
  [headerNames.fence]: {
    schema: { ...fenceSchema, description: "Clear it only while this token is the one set" },
  },
} as const satisfies Fields;

export const fenceRoutes: readonly Route[] = [
  route({
    id: "setFence",
    method: "PUT",
    path,
    summary: "Set a partition's fence token: writers that show another one are refused from now on",
    action: "write",
    resource: "topic",
    query: {},
    headers: {},
    redirects: true,
    bodies: { "application/json": "SetFence" },
    answers,
    async handle(call) {
      const body = await call.jsonBody("SetFence");
      if (!body.ok) return call.refuse(body);
      return change(call as unknown as Call, body.value);
    },
  }),
  route({
    id: "clearFence",
    method: "DELETE",
    path,
    summary: "Clear a partition's fence token",
    action: "write",
    resource: "topic",
    query: {},
    headers: clearHeaders,
    redirects: true,
    answers,
    handle(call) {
      const expected = call.header[headerNames.fence];
      const wanted = expected === undefined ? { token: null } : { token: null, expected };
      return change(call as unknown as Call, wanted);
    },
  }),
];

async function change(
  call: Call,
  wanted: { readonly token: string | null; readonly expected?: string | null },
): Promise<Response> {
  const { broker } = call.services;
  if (broker.topic(call.topic) === null) return call.refuse(unknownTopic(call));
  const outcome = await broker.setFence(call.topic, call.partition, wanted);
  if (!outcome.ok) return call.refuse(outcome);
  return call.json(200, { partition: call.partition, token: wanted.token });
}
