// A Worker that writes each visit. It answers at once: what it sent is flushed behind the answer.
import { connect } from "@rivulet/client";

export default {
  async fetch(request, env, ctx) {
    const producer = connect(env.RIVULET_URL).producer();
    const { pathname } = new URL(request.url);
    void producer.send("visits", { key: pathname, value: { path: pathname, at: Date.now() } });
    ctx.waitUntil(producer.flush());
    return new Response(`Hello from ${pathname}\n`);
  },
};
