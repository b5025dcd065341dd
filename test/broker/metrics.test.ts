import { afterEach, expect, test } from "bun:test";
import { metricRows } from "../../edge/contract/metric-rows.ts";
import { hostMetricNames, journalMetricNames, vigilMetricNames } from "../../src/broker/metrics.ts";
import { TestCluster } from "../consensus/cluster.ts";
import { BrokerCluster } from "./broker-cluster.ts";
import { startNode, stopNodes } from "./whole-node.ts";

afterEach(stopNodes);

test("every number of journal and host is shown, and every shown one is described", async () => {
  const { broker, journal, host } = await startNode();
  expect(Object.keys(journalMetricNames).sort()).toEqual(Object.keys(journal.metrics()).sort());
  expect(Object.keys(hostMetricNames).sort()).toEqual(Object.keys(host.metrics()).sort());
  const shown = Object.keys(broker.metrics()).map((name) => `rivulet_${name}`);
  expect(shown.filter((name) => !Object.hasOwn(metricRows, name))).toEqual([]);
});

test("every number of a host among others is shown and described", async () => {
  const { host } = (await TestCluster.of(2)).node(1);
  const names = { ...hostMetricNames, ...vigilMetricNames };
  expect(Object.keys(names).sort()).toEqual(Object.keys(host.metrics()).sort());
  const rows = Object.values(names).map((name) => `rivulet_${name}`);
  expect(rows.filter((name) => !Object.hasOwn(metricRows, name))).toEqual([]);
});

test("every number of a node among others is described", async () => {
  const cluster = await BrokerCluster.of(2);
  const shown = Object.keys(cluster.node(1).broker.metrics()).map((name) => `rivulet_${name}`);
  expect(shown.filter((name) => !Object.hasOwn(metricRows, name))).toEqual([]);
});
