// An account whose state is its events. Two tellers may decide at once: the log takes one of them, the other decides
// again on what is true by then. No lock, no database.
import { connect, RivuletError } from "@rivulet/client";

const rivulet = connect(process.env.RIVULET_URL ?? "http://127.0.0.1:7480");
const partition = 0;

/** The balance, and the offset at which it is true: the log's end. */
async function load(topic) {
  let balance = 0;
  let from = "earliest";
  for (;;) {
    const page = await rivulet.read(topic, { from, partitions: [partition] });
    for (const record of page.records) balance += record.json().amount;
    const [{ nextOffset, highWatermark }] = page.partitions;
    if (nextOffset >= highWatermark) return { balance, end: nextOffset };
    from = { cursor: page.cursor };
  }
}

/** Books an amount; refuses to overdraw. */
export async function book(topic, amount) {
  await rivulet.admin.ensureTopic(topic, { partitions: 1, configs: { "retention.ms": -1 } });
  for (;;) {
    const { balance, end } = await load(topic);
    if (balance + amount < 0) return { booked: false, balance };
    try {
      await rivulet.send(topic, { value: { amount } }, { partition, expectedOffset: end });
      return { booked: true, balance: balance + amount };
    } catch (error) {
      const moved = error instanceof RivuletError && error.code === "expected_offset_mismatch";
      if (!moved) throw error;
    }
  }
}
