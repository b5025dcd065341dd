import { expect, test } from "bun:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { metricRows } from "../../edge/contract/metric-rows.ts";
import { limits } from "../../src/limits.ts";
import { document } from "./conformance.ts";
import { openDoor } from "./harness.ts";

test("the document is valid OpenAPI 3.1", async () => {
  const result = await new Validator().validate(
    structuredClone(document) as unknown as Record<string, unknown>,
  );
  expect(result).toMatchObject({ valid: true });
});

test("GET /v1/openapi.json is the document that the answers are held against", async () => {
  const node = await openDoor();
  const { json } = await node.ask("GET /v1/openapi.json");
  expect(json as unknown).toEqual(JSON.parse(JSON.stringify(document)));
  await node.close();
});

test("GET /docs says every route and shape of the document, and needs nothing from elsewhere", async () => {
  const node = await openDoor();
  const { text, headers, status } = await node.ask("GET /docs");
  expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
  for (const [path, operations] of Object.entries(document.paths)) {
    if (path.startsWith("/v1/topic-ids/")) continue;
    for (const { operationId } of Object.values(operations)) {
      expect(text).toContain(`<section id="${operationId}">`);
    }
  }
  for (const name of Object.keys(document.components.schemas)) {
    expect(text).toContain(`<section id="${name}">`);
  }
  expect(text).not.toMatch(/<script|<link|<img|@import|url\(|src=|undefined|\[object/);
  expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  await node.close();
});

test("GET /v1/limits prints the table", async () => {
  const node = await openDoor();
  expect((await node.ask("GET /v1/limits")).json as unknown).toEqual({ ...limits });
  await node.close();
});

test("GET /readyz says why not", async () => {
  const node = await openDoor();
  expect((await node.ask("GET /readyz")).json).toMatchObject({ ready: true, reason: null });
  node.door.close();
  const { status, json } = await node.ask("GET /readyz");
  expect([status, json["reason"]]).toEqual([503, "The node is stopping"]);
  expect((await node.ask("GET /livez")).status).toBe(200);
  await node.close();
});

test("every metric has a row, HELP and TYPE, and lines that Prometheus can parse", async () => {
  const node = await openDoor();
  await node.ask("POST /v1/topics/t/records", { records: [{ value: "a" }] });
  const { text, headers } = await node.ask("GET /metrics");
  expect(headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const described = new Set<string>();
  for (const line of text.trimEnd().split("\n")) {
    if (line.startsWith("#")) {
      const [, kind = "", name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
      described.add(`${kind} ${name}`);
      expect([name, metricRows[name]?.[kind === "HELP" ? "help" : "type"]]).toEqual([
        name,
        rest as never,
      ]);
    } else {
      const sample =
        /^([a-z_][a-z0-9_]*)(?:\{[a-z_]+="[^"]*"(?:,[a-z_]+="[^"]*")*\})? (\S+)$/i.exec(line);
      const name = (sample?.[1] ?? line).replace(/_(?:bucket|sum|count)$/, "");
      expect([line, described.has(`TYPE ${name}`) && described.has(`HELP ${name}`)]).toEqual([
        line,
        true,
      ]);
      expect(Number.isFinite(Number(sample?.[2]))).toBe(true);
    }
  }
  await node.close();
});
