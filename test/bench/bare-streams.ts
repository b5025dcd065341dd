// The limits of streaming answers on this runtime, bare Hono that keeps nothing: a body given back as it comes, and
// server-sent events that go to all who listen, each encoded once. Started like a node, in a process of its own.

import { Hono } from "hono";

const app = new Hono();
const listeners = new Set<ReadableStreamDefaultController<Uint8Array>>();
const waiting = new Set<() => void>();
const headers = { "content-type": "text/event-stream", "cache-control": "no-cache" };
let number = 0;

app.post("/lines", (context) => new Response(context.req.raw.body, { headers }));
app.get("/events", () => {
  let own: ReadableStreamDefaultController<Uint8Array>;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      own = controller;
      listeners.add(own);
      controller.enqueue(Buffer.from("retry: 1000\n\n"));
    },
    cancel: () => void listeners.delete(own),
  });
  return new Response(stream, { headers });
});
app.post("/events", async (context) => {
  const data = Buffer.from(`id: ${number++}\ndata: ${await context.req.text()}\n\n`);
  for (const controller of listeners) controller.enqueue(data);
  return context.json({ sent: true });
});
app.get("/wait", async (context) => {
  await new Promise<void>((resolve) => {
    waiting.add(resolve);
    context.req.raw.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  return context.json({ records: [] });
});
app.get("/idle", (context) => context.json({ idle: true }));

const server = Bun.serve({ hostname: "127.0.0.1", port: 0, idleTimeout: 60, fetch: app.fetch });
console.log(`http://127.0.0.1:${server.port}`);
process.once("SIGTERM", () => process.exit(0));
