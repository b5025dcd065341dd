// The same node on Deno: a broker in memory and one on disk, written to, tailed, restarted. Run by .ci/run and by hand:
//
//   npx deno run -A test/deno/smoke.ts

import { startBroker } from "../../src/testing/index.ts";

function expect(condition: boolean, what: string): void {
  if (!condition) throw new Error(`On Deno it must hold that ${what}`);
  console.log(`ok: ${what}`);
}

for (const storage of ["memory", "disk"] as const) {
  await using broker = await startBroker({ storage });
  const receipts = await broker.send("orders", [{ key: "a", value: { n: 1 } }, { value: "two" }]);
  expect(receipts.length === 2, `a write is answered (${storage})`);

  const tail = await broker.fetch("/v1/topics/orders/tail?from=earliest");
  const reader = tail.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes('"value":"two"')) seen += (await reader.read()).value ?? "";
  await reader.cancel();
  expect(seen.includes('"offset":0'), `a tail shows what was written (${storage})`);

  await broker.restart();
  await broker.send("orders", { value: "three" });
  const records = await broker.read("orders");
  const values = records.map(({ value }) => value).join(" ");
  expect(values === '{"n":1} two three', `a restart keeps everything (${storage})`);
}
