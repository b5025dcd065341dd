import { afterEach, describe, expect, test } from "bun:test";
import type { Action, Resource } from "../../src/authorize.ts";
import { limits } from "../../src/limits.ts";
import { routes } from "../../edge/server/door.ts";
import { openDoor, overriding, type DoorUnderTest } from "./harness.ts";
import type { DoorLogLine, DoorOptions } from "../../edge/server/services.ts";

let node: DoorUnderTest | null = null;

async function open(options: Partial<DoorOptions> = {}): Promise<DoorUnderTest> {
  node = await openDoor(options);
  return node;
}

afterEach(async () => {
  await node?.close();
  node = null;
});

/** A body that fails the test when anybody reads it. */
const unread = (): ReadableStream =>
  new ReadableStream(
    {
      pull() {
        throw new Error("The body was read");
      },
    },
    { highWaterMark: 0 },
  );

const write = "POST /v1/topics/t/records";
const bodyOf = { records: [{ value: "a" }] };

describe("Host", () => {
  test("the advertised one is answered on loopback too, and no other", async () => {
    const door = await open({ advertisedHost: "log.example" });
    expect((await door.ask("GET /livez", undefined, { host: "Log.example" })).status).toBe(200);
    expect((await door.ask("GET /livez", undefined, { host: "log.example:81" })).status).toBe(421);
  });

  test.each([
    "localhost",
    "localhost:7480",
    "a.localhost:1",
    "127.0.0.1",
    "127.8.9.1:80",
    "[::1]:7480",
  ])("%s is this machine", async (host) => {
    const door = await open();
    expect((await door.ask("GET /livez", undefined, { host })).status).toBe(200);
  });

  test.each([
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1:x",
    "10.0.0.1",
    "localhost:1@evil",
  ])("%s on a loopback bind is 421", async (host) => {
    const door = await open();
    const { status, json } = await door.ask(write, bodyOf, { host });
    expect([status, json.code]).toEqual([421, "misdirected_request"]);
    expect(door.broker.topic("t")).toBeNull();
  });

  test("is free when the bind is public", async () => {
    const door = await open({ hosts: "any" });
    expect((await door.ask("GET /livez", undefined, { host: "log.example" })).status).toBe(200);
  });
});

describe("Origin", () => {
  test("is 403 before the body is read, and nothing is applied", async () => {
    const door = await open();
    for (const origin of ["https://evil.example", "null", "http://127.0.0.1:7480"]) {
      const response = await door.send(write, {
        headers: { origin, "content-type": "application/json" },
        body: unread(),
      });
      expect(response.status).toBe(403);
      expect(response.headers.get("access-control-allow-origin")).toBeNull();
      expect(response.headers.get("connection")).toBe("close");
    }
    expect(door.broker.topic("t")).toBeNull();
  });

  test("that is listed may call, and its preflight is answered", async () => {
    const origin = "https://app.example";
    const door = await open({ corsOrigins: [origin] });
    const { status, headers } = await door.ask(write, bodyOf, { origin });
    expect([status, headers.get("access-control-allow-origin")]).toEqual([200, origin]);
    const preflight = await door.send("OPTIONS /v1/topics/t/records", {
      headers: { origin, "access-control-request-headers": "content-type,idempotency-key" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
    expect(preflight.headers.get("access-control-allow-headers")).toBe(
      "content-type,idempotency-key",
    );
    const other = await door.send("OPTIONS /v1/topics/t/records", {
      headers: { origin: "https://app.example.evil" },
    });
    expect(other.status).toBe(403);
  });
});

describe("every answer", () => {
  test("carries version, node, term, request id and Vary", async () => {
    const door = await open();
    for (const line of ["GET /livez", "GET /v1/topics/none", "GET /nowhere"]) {
      const { headers } = await door.ask(line);
      expect(headers.get("rivulet-version")).toBe("0.1.0");
      expect(headers.get("rivulet-node")).toBe("1");
      expect(Number(headers.get("rivulet-term"))).toBeGreaterThan(0);
      expect(headers.get("rivulet-request-id")).toMatch(/^[0-9a-f]{12}-[0-9a-z]+$/);
      expect(headers.get("vary")).toBe("Origin, Authorization, Accept, Accept-Encoding");
    }
  });

  test("keeps the caller's request id when it is sane, and it is logged with traceparent", async () => {
    const lines: DoorLogLine[] = [];
    const door = await open({ log: (line) => lines.push(line) });
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const sane = await door.ask("GET /livez", undefined, {
      "rivulet-request-id": "job-7/3",
      traceparent,
    });
    expect(sane.headers.get("rivulet-request-id")).toBe("job-7/3");
    const insane = await door.ask("GET /nowhere", undefined, {
      "rivulet-request-id": "a b<script>",
    });
    expect(insane.headers.get("rivulet-request-id")).not.toContain("script");
    expect(lines.map(({ requestId, status }) => [requestId, status])).toEqual([
      ["job-7/3", 200],
      [insane.headers.get("rivulet-request-id") ?? "", 404],
    ]);
    expect(lines[0]).toMatchObject({ traceparent, method: "GET", path: "/livez", level: "debug" });
  });

  test("of something unexpected is a problem without its cause, which is logged", async () => {
    const lines: DoorLogLine[] = [];
    node = await openDoor({ log: (line) => lines.push(line) }, (broker) =>
      overriding(broker, {
        describeTopic() {
          throw new Error("secret path");
        },
      }),
    );
    const { status, json, text } = await node.ask("GET /v1/topics/t");
    expect([status, json.code, text.includes("secret")]).toEqual([
      500,
      "unknown_server_error",
      false,
    ]);
    expect(lines[0]).toMatchObject({ level: "error", cause: new Error("secret path") });
  });
});

describe("routes", () => {
  test("each declares who may, and asks before anything else is done", async () => {
    const asked: [Action, Resource][] = [];
    const door = await open({
      authorize(principal, action, resource) {
        expect(principal.name).toBe("anonymous");
        asked.push([action, resource]);
        return false;
      },
    });
    const id = "00000000-0000-4000-8000-000000000000";
    for (const route of routes) {
      expect([route.id, route.action.length > 0, route.resource.length > 0]).toEqual([
        route.id,
        true,
        true,
      ]);
      const path = route.path
        .replace("{topic}", "t")
        .replace("{partition}", "0")
        .replace("{node}", "1")
        .replace("{topicId}", id);
      const query = Object.entries(route.query).flatMap(([name, field]) =>
        field.required === true ? [`${name}=0`] : [],
      );
      const response = await door.send(`${route.method} ${path}?${query.join("&")}`, {
        headers: { "content-type": "application/json" },
        ...(route.method === "GET" ? {} : { body: unread() }),
      });
      // By id the topic must be known to be named: that one is refused before.
      expect([route.id, response.status]).toEqual([
        route.id,
        route.path.includes("{topicId}") ? 404 : 403,
      ]);
    }
    const named = routes.filter(({ path }) => !path.includes("{topicId}"));
    expect(asked.map(([action, { type }]) => [action, type])).toEqual(
      named.map(({ action, resource }) => [action, resource]),
    );
    expect(door.broker.topic("t")).toBeNull();
  });

  test("have names of their own", () => {
    expect(new Set(routes.map(({ id }) => id)).size).toBe(routes.length);
    expect(new Set(routes.map(({ method, path }) => `${method} ${path}`)).size).toBe(routes.length);
  });

  test("a path or method that is none is 404 or 405 with Allow", async () => {
    const door = await open();
    expect((await door.ask("GET /v1/nothing")).status).toBe(404);
    const { status, headers } = await door.ask("DELETE /v1/topics");
    expect([status, headers.get("allow")]).toEqual([405, "POST, GET, HEAD, OPTIONS"]);
    const options = await door.send("OPTIONS /v1/topics");
    expect([options.status, options.headers.get("allow")]).toEqual([
      204,
      "POST, GET, HEAD, OPTIONS",
    ]);
  });

  test.each([
    ["/v1/topics/%2e%2e/records", 404],
    ["/v1/topics/..%2f..%2fetc/records", 404],
    ["/v1/topics/t%00/records", 404],
    ["/v1/topics/%c0%ae/records", 400],
    ["/v1/topics/%/records", 400],
    ["/v1/topics/%ff/records", 400],
    ["/v1/topics//records", 404],
    ["/v1/topics/t/records/", 404],
    ["//v1/topics", 404],
    ["/V1/topics", 404],
    ["/v1/topics/__proto__/records", 404],
    ["/v1/topics/constructor", 404],
    ["/v1/topic-ids/__proto__/records", 404],
    ["/v1/topic-ids/x", 404],
  ])("GET %s is %d", async (path, wanted) => {
    const door = await open();
    expect((await door.ask(`GET ${path}`)).status).toBe(wanted);
  });
});

describe("names that are not known", () => {
  test.each([
    ["GET /v1/topics?prefx=a", {}, 'did you mean "prefix"?'],
    ["GET /v1/topics?__proto__=a", {}, "unknown"],
    ["GET /v1/topics?limit=1&limit=1", {}, "twice"],
    ["GET /v1/topics?limit=", {}, "limit must be integer"],
    ["GET /v1/topics?internal=yes", {}, "internal must be boolean"],
    ["GET /v1/topics?limit=%zz", {}, "percent-encoded"],
    ["GET /v1/topics", { "rivulet-sesion": "a" }, 'did you mean "rivulet-session"?'],
    ["GET /v1/topics", { "rivulet-fence": "a" }, "rivulet-fence"],
    ["GET /v1/topics", { "rivulet-consistency": "strong" }, "must be one of local"],
    ["GET /v1/topics", { "idempotency-key": "a" }, "Idempotency-Key"],
    ["GET /v1/topics/t/records?acks=1", {}, "acks"],
  ])("%s %p is 400", async (line, headers, hint) => {
    const door = await open();
    const { status, json } = await door.ask(line, undefined, headers);
    expect(status).toBe(400);
    expect(json.detail).toContain(hint);
  });

  test("a session and a consistency that are known are taken", async () => {
    const door = await open();
    const session = (await door.ask(write, bodyOf)).headers.get("rivulet-session") ?? "";
    expect(session).not.toBe("");
    const { status } = await door.ask("GET /v1/topics/t/records", undefined, {
      "rivulet-session": session,
      "rivulet-consistency": "linearizable",
      authorization: "Bearer x",
    });
    expect(status).toBe(200);
  });
});

describe("sizes", () => {
  test("URL and headers that are too long are refused", async () => {
    const door = await open();
    expect((await door.ask(`GET /v1/topics?prefix=${"a".repeat(limits.urlBytesMax)}`)).status).toBe(
      414,
    );
    expect(
      (await door.ask("GET /livez", undefined, { x: "a".repeat(limits.headerBytesMax) })).status,
    ).toBe(431);
  });

  test("a body beyond the limit is 413, whatever it says of its length", async () => {
    const door = await open();
    const chunk = new Uint8Array(1 << 20);
    let sent = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue((sent++, chunk)),
      cancel: () => void (cancelled = true),
    });
    const headers = { "content-type": "application/octet-stream", "content-length": "3" };
    const response = await door.send(write, { headers, body: endless });
    expect([response.status, cancelled, sent < 20]).toEqual([413, true, true]);
    const declared = await door.send(write, {
      headers: { ...headers, "content-length": String(limits.requestBodyBytesMax + 1) },
      body: unread(),
    });
    expect(declared.status).toBe(413);
    expect(door.broker.topic("t")).toBeNull();
  });

  test("a body that does not come within its time is 408 and applies nothing", async () => {
    const door = await open();
    const stuck = new ReadableStream<Uint8Array>({
      start: (controller) =>
        controller.enqueue(new TextEncoder().encode('{"records":[{"value":"a"}')),
    });
    const answer = door.send(write, {
      headers: { "content-type": "application/json" },
      body: stuck,
    });
    door.world.advance(limits.bodyMsMax + 1_000);
    expect((await answer).status).toBe(408);
    expect(door.broker.topic("t")).toBeNull();
  });

  test("a body that breaks off applies nothing", async () => {
    const door = await open();
    const broken = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"records":[{"value":"a"}]}'));
        controller.error(new Error("reset"));
      },
    });
    const answer = await door.send(write, {
      headers: { "content-type": "application/json" },
      body: broken,
    });
    expect(answer.status).toBe(400);
    expect(door.broker.topic("t")).toBeNull();
  });

  test("invalid UTF-8 and unknown encodings of the body are refused", async () => {
    const door = await open();
    const bytes = Uint8Array.of(
      ...new TextEncoder().encode('{"records":[{"value":"'),
      0xff,
      0x22,
      0x7d,
      0x5d,
      0x7d,
    );
    expect((await door.ask(write, bytes)).status).toBe(400);
    expect((await door.ask(write, bodyOf, { "content-encoding": "br" })).status).toBe(415);
  });

  test("16 MB of openings neither hang nor take the stack", async () => {
    const door = await open();
    for (const opening of ["[", '{"a":', '{"records":[', '{"records":[{"valueJson":[']) {
      const body = opening.repeat(Math.floor(limits.requestBodyBytesMax / opening.length));
      expect((await door.ask(write, body)).status).toBe(400);
    }
    const spaces = " ".repeat(limits.requestBodyBytesMax);
    expect((await door.ask("POST /v1/topics", spaces)).status).toBe(400);
  });
});
