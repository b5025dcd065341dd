// A leadership that is handed over while the former leader is in use.

import { expect, test } from "bun:test";
import { TestCluster } from "./cluster.ts";

test("a handover is not fought by those who use the former leader, however slow the disks are", async () => {
  for (let seed = 1; seed <= 10; seed += 1) {
    const cluster = await TestCluster.of(3, seed);
    for (const node of cluster.nodes) node.flushMs = 40;
    cluster.group("g");
    cluster.wake();
    const from = await cluster.leader();
    await cluster.say(from, ["a"]);
    const { replica } = cluster.on(from.nodeId);
    const before: number = replica.role.term;
    const to = (from.nodeId % 3) + 1;
    const began = cluster.world.monotonic();
    const handed = replica.transferLeadership(to);
    const over = new AbortController();
    const use = (): void => {
      if (over.signal.aborted) return;
      replica.leader(10_000).catch(() => undefined);
      cluster.world.setTimer(1, use);
    };
    use();
    expect(await cluster.world.until(handed)).toEqual({ ok: true });
    over.abort();
    expect(cluster.world.monotonic() - began).toBeLessThan(500);
    expect(cluster.leaderNow()?.nodeId ?? to).toBe(to);
    expect(Number(cluster.on(to).replica.role.term)).toBe(before + 1);
  }
});
