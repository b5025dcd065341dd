// The door's counters and the page of /metrics (Prometheus text format 0.0.4).
//
// Promise: every name that is printed has a HELP and a TYPE, out of one table (metric-rows.ts). Cost: one map look-up and
// a few additions a request.

import type { GroupNumbers } from "../../src/broker/broker.ts";
import { metricRows, type MetricRow } from "../contract/metric-rows.ts";
import type { Services } from "./services.ts";

const bucketSeconds = [0.001, 0.005, 0.02, 0.1, 0.5, 2.5, 10] as const;

interface RouteCounts {
  readonly statuses: Map<number, number>;
  readonly buckets: number[];
  seconds: number;
  count: number;
}

export class DoorMetrics {
  recordsWritten = 0;
  recordsRead = 0;
  recordsTailed = 0;
  readonly #routes = new Map<string, RouteCounts>();

  answered(route: string, status: number, ms: number): void {
    let counts = this.#routes.get(route);
    if (counts === undefined) {
      counts = { statuses: new Map(), buckets: bucketSeconds.map(() => 0), seconds: 0, count: 0 };
      this.#routes.set(route, counts);
    }
    counts.statuses.set(status, (counts.statuses.get(status) ?? 0) + 1);
    counts.seconds += ms / 1_000;
    counts.count++;
    let bucket = 0;
    while (bucket < bucketSeconds.length && ms > bucketSeconds[bucket] * 1_000) bucket++;
    if (bucket < bucketSeconds.length) counts.buckets[bucket]++;
  }

  /** Sample lines of the two metrics that have labels. */
  *routeLines(): Generator<[name: string, line: string]> {
    for (const [route, { statuses }] of this.#routes) {
      for (const [status, count] of statuses) {
        const labels = `route="${route}",status="${status}"`;
        yield ["rivulet_http_requests_total", `rivulet_http_requests_total{${labels}} ${count}`];
      }
    }
    for (const [route, counts] of this.#routes) {
      for (const line of histogramLines("rivulet_http_request_seconds", route, counts)) {
        yield ["rivulet_http_request_seconds", line];
      }
    }
  }
}

function* histogramLines(name: string, route: string, counts: RouteCounts): Generator<string> {
  let below = 0;
  for (const [i, bound] of bucketSeconds.entries()) {
    below += counts.buckets[i];
    yield `${name}_bucket{route="${route}",le="${bound}"} ${below}`;
  }
  yield `${name}_bucket{route="${route}",le="+Inf"} ${counts.count}`;
  yield `${name}_sum{route="${route}"} ${counts.seconds}`;
  yield `${name}_count{route="${route}"} ${counts.count}`;
}

/** The page: the door's metrics, then the broker's, each with HELP and TYPE. */
export function metricsPage(services: Services): string {
  const { metrics, waiters, tails, broker } = services;
  const values: Readonly<Record<string, number>> = {
    rivulet_http_records_written_total: metrics.recordsWritten,
    rivulet_http_records_read_total: metrics.recordsRead,
    rivulet_http_records_tailed_total: metrics.recordsTailed,
    rivulet_http_records_encoded_total: tails.recordsEncoded,
    rivulet_http_waiting: waiters.count,
    rivulet_ready: broker.status().ready ? 1 : 0,
  };
  const lines = new Map<string, string[]>();
  for (const [name, line] of metrics.routeLines()) appendLine(lines, name, line);
  for (const [name, value] of Object.entries(values)) appendLine(lines, name, `${name} ${value}`);
  for (const [name, value] of Object.entries(broker.metrics())) {
    appendLine(lines, `rivulet_${name}`, `rivulet_${name} ${value}`);
  }
  for (const [name, line] of groupLines(broker.groups())) appendLine(lines, name, line);
  const blocks = [...lines].map(([name, samples]) => {
    const { help, type } = metricRows[name] ?? undescribed(name);
    return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.join("\n")}\n`;
  });
  return blocks.join("");
}

/** Sample lines of the replicas on this node, one a group, and one a group and member. */
function* groupLines(groups: readonly GroupNumbers[]): Generator<[name: string, line: string]> {
  for (const { group, lags, ...row } of groups) {
    const values: Readonly<Record<string, number>> = {
      leads: row.leads ? 1 : 0,
      leader: row.leader,
      term: row.term,
      uncommitted_entries: row.uncommittedEntries,
      unapplied_entries: row.unappliedEntries,
    };
    for (const [value, number] of Object.entries(values)) {
      const name = `rivulet_group_${value}`;
      yield [name, `${name}{group="${group}"} ${number}`];
    }
    for (const { nodeId, entries } of lags) {
      const name = "rivulet_group_lag_entries";
      yield [name, `${name}{group="${group}",node="${nodeId}"} ${entries}`];
    }
  }
}

/** A name that the table lacks is still told; the tests fail on it. */
function undescribed(name: string): MetricRow {
  return { type: name.endsWith("_total") ? "counter" : "gauge", help: "Not described yet" };
}

function appendLine(lines: Map<string, string[]>, name: string, line: string): void {
  const known = lines.get(name);
  if (known === undefined) lines.set(name, [line]);
  else known.push(line);
}
