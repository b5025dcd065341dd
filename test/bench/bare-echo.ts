// The limit of the HTTP door on this runtime: a bare Hono app that gives each body back and keeps nothing. Started like
// a node (it takes a node's command line and looks at none of it), in a process of its own.

import { Hono } from "hono";

const app = new Hono();
app.get("/readyz", (context) => context.json({ ready: true }));
app.post("/echo", async (context) => context.body(await context.req.arrayBuffer()));

const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: app.fetch });
console.log(`http://127.0.0.1:${server.port}`);
process.once("SIGTERM", () => process.exit(0));
