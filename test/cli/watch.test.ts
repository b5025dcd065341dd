// What `rivulet status --watch` makes of the answers of a cluster: in made-up time, then against a node.

import { describe, expect, test } from "bun:test";
import type {
  ClusterAnswer,
  GroupRow,
  MemberRow,
  PartitionsAnswer,
} from "../../src/cli/cluster-answers.ts";
import { WatchModel, type WatchEvent } from "../../src/cli/watch-model.ts";
import { eventLine, tableOf } from "../../src/cli/watch-view.ts";
import { startBroker } from "../../src/testing/index.ts";
import { runLine } from "./memory-terminal.ts";

/** A cluster of three in which `leader` leads everything. */
class MadeUp {
  readonly model = new WatchModel();
  readonly events: WatchEvent[] = [];
  readonly alive = new Set([1, 2, 3]);
  leader = 1;
  term = 4;
  at = 0;

  /** Every node that lives answers, each 100 ms, for so long. */
  pass(ms: number): void {
    for (const end = this.at + ms; this.at < end;) {
      this.at += 100;
      for (const nodeId of this.alive) this.answer(nodeId);
      this.look();
    }
  }

  look(): void {
    this.model.look(this.at);
    this.events.push(...this.model.takeEvents());
  }

  answer(nodeId: number): void {
    const { cluster, partitions } = this.told(nodeId);
    this.model.saw({ cluster, partitions, at: this.at });
  }

  told(nodeId: number): { cluster: ClusterAnswer; partitions: PartitionsAnswer } {
    const group: GroupRow = { leader: this.leader, term: this.term, members: [] };
    const nodes = [1, 2, 3].map((id) => ({
      nodeId: id,
      version: "1",
      region: null,
      peer: null,
      replicas: 1,
      leads: 0,
      state: this.alive.has(id) ? ("up" as const) : ("down" as const),
      http: `http://n${id}:7480`,
    }));
    const item = { ...group, topic: "orders", partition: 0, assigned: [1, 2, 3] };
    return {
      cluster: { clusterId: "c-1", nodeId, nodes, controller: group, partitions: 1 },
      partitions: { items: [item], total: 1 },
    };
  }

  screen(rows = 40, columns = 200): string {
    const clocks = { at: this.at, wallMs: new Date(2026, 0, 31, 12, 0, 0).getTime() + this.at };
    return tableOf(this.model, clocks, { rows, columns }).join("\n");
  }
}

const member = (nodeId: number, more: Partial<MemberRow> = {}): MemberRow => ({
  nodeId,
  voter: true,
  inSync: true,
  lagEntries: 0,
  lagMs: 0,
  ...more,
});

describe("a watcher", () => {
  test("says nothing of a cluster that is well", () => {
    const cluster = new MadeUp();
    cluster.pass(5_000);
    expect(cluster.events).toEqual([]);
    expect(cluster.screen()).toContain("1 partition and the controller: everything is led");
    expect(cluster.screen()).toContain("last gap: none since this began");
  });

  test("sees a leader die, how long nobody led, and who leads now", () => {
    const cluster = new MadeUp();
    cluster.pass(1_000);
    cluster.alive.delete(1);
    cluster.pass(700);
    expect(cluster.screen()).toContain("NO LEADER: controller for 0.70 s, orders-0 for 0.70 s");
    expect(cluster.screen()).toMatch(/^1 +DOWN for 0\.70 s +0 /m);
    const { partitions, cluster: told } = cluster.told(2);
    const items = partitions.items.map((one) => ({ ...one, members: [member(1), member(2)] }));
    cluster.model.sawLags({ ...partitions, items }, told);
    expect(cluster.screen()).toMatch(/^orders-0 .* 1 \(down\), 2$/m);
    [cluster.leader, cluster.term] = [2, 5];
    cluster.pass(1_000);
    expect(cluster.events).toEqual([
      { kind: "nodeDown", at: 1_500, nodeId: 1 },
      { kind: "leaderLost", at: 1_500, group: "controller", from: 1 },
      { kind: "leaderLost", at: 1_500, group: "orders-0", from: 1 },
      {
        kind: "leader",
        group: "controller",
        term: 5,
        at: 1_800,
        ms: 800,
        ownMs: 0,
        from: 1,
        to: 2,
      },
      { kind: "leader", group: "orders-0", term: 5, at: 1_800, ms: 800, ownMs: 0, from: 1, to: 2 },
    ]);
    expect(cluster.screen()).toContain(
      "last gap: 0.80 s at 12:00:01.800, when node 1 no longer led (2 groups, controller longest)",
    );
    expect(cluster.screen()).toMatch(/^orders-0 +2 +5 +1 \(down\), 2 +0\.80 s at 12:00:01\.800$/m);
  });

  test("sees a node come back, and how long it was away", () => {
    const cluster = new MadeUp();
    cluster.pass(1_000);
    cluster.alive.delete(3);
    cluster.pass(2_000);
    cluster.alive.add(3);
    cluster.pass(500);
    expect(cluster.events).toEqual([
      { kind: "nodeDown", at: 1_500, nodeId: 3 },
      { kind: "nodeUp", at: 3_100, nodeId: 3, ms: 2_100 },
    ]);
  });

  test("believes a leader only by its own word, and only in the newest term", () => {
    const cluster = new MadeUp();
    cluster.pass(500);
    // Node 3 believes what was; node 2 leads already.
    [cluster.leader, cluster.term] = [2, 5];
    cluster.at += 100;
    cluster.answer(3);
    expect(cluster.model.groups.get("orders-0")).toMatchObject({ leader: 1, term: 4 });
    cluster.answer(2);
    [cluster.leader, cluster.term] = [1, 4];
    cluster.answer(1);
    expect(cluster.model.groups.get("orders-0")).toMatchObject({ leader: 2, term: 5 });
  });

  test("calls a change without silence a short gap", () => {
    const cluster = new MadeUp();
    cluster.pass(500);
    [cluster.leader, cluster.term] = [2, 5];
    cluster.pass(300);
    expect(cluster.screen()).toContain("last gap: under 0.20 s");
  });

  test("that stood still itself blames nobody", () => {
    const cluster = new MadeUp();
    cluster.pass(1_000);
    cluster.at += 3_000;
    cluster.look();
    cluster.pass(1_000);
    expect(cluster.events).toEqual([]);
  });

  test("says how much of a gap may be its own", () => {
    const cluster = new MadeUp();
    cluster.pass(1_000);
    cluster.at += 2_000;
    [cluster.leader, cluster.term] = [2, 5];
    cluster.pass(500);
    expect(cluster.events.map(({ kind }) => kind)).toEqual(["leader", "leader"]);
    expect(cluster.screen()).toContain("last gap: 2.10 s (2.00 s less, perhaps) at");
  });

  test("does not take the others' word for a leader that has just fallen silent", () => {
    const cluster = new MadeUp();
    cluster.pass(1_000);
    // A stopped process: the others believe in it for a second more.
    for (let i = 0; i < 10; i++) {
      cluster.at += 100;
      for (const nodeId of [2, 3]) cluster.answer(nodeId);
      cluster.look();
    }
    [cluster.leader, cluster.term] = [2, 5];
    cluster.alive.delete(1);
    cluster.pass(200);
    const [gap] = cluster.events.filter(({ kind }) => kind === "leader");
    expect(gap).toMatchObject({ ms: 1_100, from: 1, to: 2 });
  });

  test("tells a node that only it cannot reach from one that is down", () => {
    const cluster = new MadeUp();
    cluster.pass(500);
    const doors = [2, 3];
    for (let i = 0; i < 50; i++) {
      cluster.at += 100;
      for (const nodeId of doors) cluster.answer(nodeId);
      cluster.look();
    }
    expect(cluster.events.filter(({ kind }) => kind !== "leaderLost")).toEqual([]);
    expect(cluster.screen()).toMatch(/^1 +no answer here for/m);
    expect(cluster.screen()).toContain("everything is led");
  });

  test("shows who is behind, and first what is not well", () => {
    const cluster = new MadeUp();
    cluster.pass(500);
    const { cluster: told } = cluster.told(1);
    const behind = member(3, { inSync: false, lagEntries: 20, lagMs: 12_000 });
    const items = ["a", "b"].map((topic) => ({
      topic,
      partition: 0,
      assigned: [1],
      leader: 1,
      term: 1,
      members: topic === "b" ? [member(1), behind] : [member(1)],
    }));
    cluster.model.saw({ cluster: told, partitions: { items, total: 2 }, at: cluster.at });
    cluster.model.sawLags({ items, total: 2 }, told);
    const screen = cluster.screen();
    expect(screen).toMatch(/^3 +up +0 +1 +20 entries, 12 s/m);
    expect(screen).not.toContain("orders-0");
    expect(screen.indexOf("b-0")).toBeLessThan(screen.indexOf("a-0"));
    expect(cluster.screen(12).split("\n").at(-1)).toContain("controller");
  });

  test("stays within the terminal", () => {
    const cluster = new MadeUp();
    cluster.pass(500);
    const lines = cluster.screen(6, 20).split("\n");
    expect(lines).toHaveLength(6);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(20);
  });

  test("says a removed and a new node once", () => {
    const cluster = new MadeUp();
    cluster.pass(500);
    const { cluster: told, partitions } = cluster.told(1);
    const nodes = [...told.nodes.slice(0, 2), { ...told.nodes[2], nodeId: 4 }];
    for (let i = 0; i < 2; i++)
      cluster.model.saw({ cluster: { ...told, nodes }, partitions, at: cluster.at });
    cluster.look();
    const clocks = { at: cluster.at, wallMs: 0 };
    expect(cluster.events.map((event) => eventLine(event, clocks).slice(14))).toEqual([
      "node 4 has joined",
      "node 3 was removed",
    ]);
  });
});

const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 5));

describe("rivulet status --watch", () => {
  test("draws a table over itself on a terminal", async () => {
    await using broker = await startBroker();
    await broker.createTopic("orders");
    let drawn = "";
    const { code } = await runLine(`status --watch --url ${broker.url}`, {
      screen: { columns: 100, rows: 30 },
      onOut: (out) => void (drawn = out),
      onPause: pause,
      closed: () => drawn.includes("everything is led"),
    });
    expect(code).toBe(0);
    expect(drawn).toContain("orders-0");
    expect(drawn).toContain("\x1b[J");
  });

  test("prints plain lines elsewhere, and goes on when the node is gone", async () => {
    await using broker = await startBroker();
    let printed = "";
    const { code } = await runLine(`status --watch --url ${broker.url}`, {
      onOut(out) {
        printed = out;
        if (out.includes("everything is led")) void broker[Symbol.asyncDispose]();
      },
      onPause: pause,
      closed: () => printed.includes("is down"),
    });
    expect(code).toBe(0);
    expect(printed).toMatch(/^1 +up +1 /m);
    expect(printed).toMatch(/\n\d\d:\d\d:\d\d\.\d{3} {2}node 1 is down\n/);
    expect(printed).not.toContain("\x1b");
  });

  test("fails when nobody is there", async () => {
    const { code, err } = await runLine("status --watch --url http://127.0.0.1:1");
    expect(err).toContain("No answer from http://127.0.0.1:1");
    expect(code).toBe(1);
  });
});
