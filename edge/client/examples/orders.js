// Writes an order, then follows all orders from the first one on. It goes on where it was, over lost connections too.
import { connect } from "@rivulet/client";

const rivulet = connect(process.env.RIVULET_URL ?? "http://127.0.0.1:7480");

const { partition, offset } = await rivulet.send("orders", { key: "o-1", value: { total: 12 } });
console.log(`written at ${partition}/${offset}`);

for await (const order of rivulet.consume("orders", { from: "earliest" })) {
  console.log(order.offset, order.key, order.json().total);
}
