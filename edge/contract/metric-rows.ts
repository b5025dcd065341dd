// Every metric of /metrics: name, type, meaning. The page's HELP and TYPE lines are read from here.
//
// Left to others: the numbers (edge/server/metrics.ts, Broker.metrics(), which gives its names without the prefix).

export interface MetricRow {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
}

const counter = (help: string): MetricRow => ({ type: "counter", help });
const gauge = (help: string): MetricRow => ({ type: "gauge", help });
const histogram = (help: string): MetricRow => ({ type: "histogram", help });

export const metricRows: Readonly<Record<string, MetricRow>> = {
  rivulet_ready: gauge("1 when the node takes requests"),
  rivulet_http_requests_total: counter("Answers by route and status"),
  rivulet_http_request_seconds: histogram(
    "Time from the request's head to the answer's head, by route; long polls include their wait",
  ),
  rivulet_http_records_written_total: counter("Records acknowledged over HTTP"),
  rivulet_http_records_read_total: counter("Records in answers of reads"),
  rivulet_http_records_tailed_total: counter("Records sent as events, counted for each tailer"),
  rivulet_http_records_encoded_total: counter(
    "Records encoded for tails; less than sent when tailers share",
  ),
  rivulet_http_waiting: gauge("Long polls and tails that are open"),
  rivulet_topics: gauge("Topics"),
  rivulet_partitions: gauge("Partitions of all topics"),
  rivulet_produce_requests_total: counter("Produce requests taken by the broker, both doors"),
  rivulet_produce_batches_total: counter("Batches appended"),
  rivulet_produce_bytes_total: counter("Bytes of batches appended"),
  rivulet_produce_refused_total: counter("Batches refused"),
  rivulet_fetch_requests_total: counter("Fetch requests taken by the broker, both doors"),
  rivulet_fetch_bytes_total: counter("Bytes of batches read"),
  rivulet_fetch_waits_total: counter("Fetches that had to wait for a commit"),
  rivulet_fetch_waiters: gauge("Fetches that wait now"),
  rivulet_retention_rounds_total: counter("Rounds of retention over all partitions"),
  rivulet_retention_failures_total: counter("Partitions at which a round of retention failed"),
};
