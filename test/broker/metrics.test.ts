import { afterEach, expect, test } from "bun:test";
import { metricRows } from "../../edge/contract/metric-rows.ts";
import { hostMetricNames, journalMetricNames } from "../../src/broker/metrics.ts";
import { startNode, stopNodes } from "./whole-node.ts";

afterEach(stopNodes);

test("every number of journal and host is shown, and every shown one is described", async () => {
  const { broker, journal, host } = await startNode();
  expect(Object.keys(journalMetricNames).sort()).toEqual(Object.keys(journal.metrics()).sort());
  expect(Object.keys(hostMetricNames).sort()).toEqual(Object.keys(host.metrics()).sort());
  const shown = Object.keys(broker.metrics()).map((name) => `rivulet_${name}`);
  expect(shown.filter((name) => !Object.hasOwn(metricRows, name))).toEqual([]);
});
