// POST /v1/producers: an identity for a long-lived writer, whose sequences make its retries harmless.

import { route, type Route } from "./route.ts";

export const producerRoutes: readonly Route[] = [
  route({
    id: "initProducer",
    method: "POST",
    path: "/v1/producers",
    summary: "A producer id that was never given before, and its first epoch",
    action: "idempotent_write",
    resource: "cluster",
    query: {},
    headers: {},
    answers: { 200: { description: "The identity", shape: "Producer" } },
    async handle(call) {
      const outcome = await call.services.broker.initProducerId();
      if (!outcome.ok) return call.refuse(outcome);
      const { producerId, epoch } = outcome;
      return call.json(200, { producerId, epoch });
    },
  }),
];
