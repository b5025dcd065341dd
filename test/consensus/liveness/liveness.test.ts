import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import type { Beat, LedSum } from "../../../src/consensus/liveness/beat.ts";
import {
  beatMs,
  Liveness,
  silentMs,
  type LivenessActions,
} from "../../../src/consensus/liveness/liveness.ts";

const none: LedSum = { count: 0, a: 0, b: 0 };
const some: LedSum = { count: 1, a: 5, b: 9 };

/** Node 1, which watches node 2, in a time that only moves by wait(). */
class Scene {
  now = 1_000;
  readonly liveness = new Liveness({ bootId: 11, nowMs: this.now });
  sequence = 0;
  bootId = 22;
  echo = { echoBootId: 0, echoSequence: 0 };
  led: LedSum = none;
  believed: LedSum = none;

  constructor() {
    this.liveness.setPeers([2]);
  }

  wait(ms: number): this {
    this.now += ms;
    return this;
  }

  tick(): LivenessActions {
    return this.liveness.tick(this.now);
  }

  /** Node 2 heard the last beat of node 1 and sends its own. */
  beat(): LivenessActions {
    this.sequence += 1;
    return this.liveness.hear(2, this.message(), { believed: this.believed, nowMs: this.now });
  }

  message(): Beat {
    const { bootId, sequence, led } = this;
    const rest = { healthy: true, oldestFlushMs: 0, appendStalledMs: 0 };
    return { bootId, sequence, ...this.echo, led, ...rest };
  }

  /** `n` rounds in which both sides beat; node 2 echoes what it got. */
  rounds(n: number): LivenessActions[] {
    return Array.from({ length: n }, () => {
      this.wait(beatMs).tick();
      const own = this.liveness.beatFor(2, { ...this.message(), led: none });
      this.echo = { echoBootId: own.bootId, echoSequence: own.sequence };
      return this.beat();
    });
  }
}

const nothing: LivenessActions = { silent: [], restored: [], ask: [] };

describe("a node", () => {
  test("lives from its first beat on", () => {
    const scene = new Scene();
    expect(scene.liveness.live(2)).toBe(false);
    expect(scene.beat()).toEqual({ ...nothing, restored: [2] });
    expect(scene.liveness.live(2)).toBe(true);
    expect(scene.beat()).toEqual(nothing);
  });

  test("is silent once when no beat came for silentMs, and lives again with the next", () => {
    const scene = new Scene();
    scene.rounds(3);
    const silent: number[] = [];
    for (let ms = 0; ms < 3_000; ms += beatMs) {
      if (scene.wait(beatMs).tick().silent.length > 0) silent.push(ms + beatMs);
    }
    expect(silent).toEqual([1_050]);
    expect(scene.liveness.live(2)).toBe(false);
    expect(scene.beat().restored).toEqual([2]);
  });

  test("is silent at once when all its connections ended", () => {
    const scene = new Scene();
    scene.rounds(1);
    expect(scene.liveness.linkDown(2)).toEqual({ ...nothing, silent: [2] });
    expect(scene.liveness.linkDown(2)).toEqual(nothing);
    expect(scene.wait(beatMs).tick()).toEqual(nothing);
  });

  test("that started anew has lost what it led: silent and restored in one beat", () => {
    const scene = new Scene();
    scene.rounds(2);
    scene.bootId = 23;
    scene.sequence = 0;
    expect(scene.beat()).toMatchObject({ silent: [2], restored: [2] });
  });

  test("is not heard twice by one beat, nor by an older one", () => {
    const scene = new Scene();
    scene.rounds(3);
    scene.liveness.linkDown(2);
    const again = { believed: none, nowMs: scene.now };
    expect(scene.liveness.hear(2, scene.message(), again)).toEqual(nothing);
    expect(scene.liveness.hear(2, { ...scene.message(), sequence: 1 }, again)).toEqual(nothing);
    expect(scene.liveness.live(2)).toBe(false);
  });

  test("outside the cluster is not heard; one that is left out counts as silent", () => {
    const scene = new Scene();
    const heard = { believed: none, nowMs: scene.now };
    expect(scene.liveness.hear(3, scene.message(), heard)).toEqual(nothing);
    scene.beat();
    expect(scene.liveness.setPeers([])).toEqual({ ...nothing, silent: [2] });
    expect(scene.liveness.setPeers([2])).toEqual(nothing);
    expect(scene.liveness.live(2)).toBe(false);
  });

  test("is active as long as it echoes beats that are not old: a way that is cut one way shows", () => {
    const scene = new Scene();
    scene.rounds(3);
    expect(scene.liveness.active(2, scene.now)).toBe(true);
    // It is still heard, but hears nothing: its echo stands.
    for (let ms = 0; ms < silentMs; ms += beatMs) {
      scene.wait(beatMs).tick();
      scene.beat();
    }
    expect(scene.liveness.live(2)).toBe(true);
    expect(scene.liveness.active(2, scene.now)).toBe(false);
    expect(scene.liveness.peers(scene.now)[0]).toMatchObject({ live: true, hearsUs: false });
    scene.rounds(1);
    expect(scene.liveness.active(2, scene.now)).toBe(true);
  });

  test("is not active by an echo of another process of this node, nor of beats never sent", () => {
    for (const echo of [
      { echoBootId: 10, echoSequence: 1 },
      { echoBootId: 11, echoSequence: 7 },
    ]) {
      const scene = new Scene();
      scene.wait(beatMs).tick();
      scene.echo = echo;
      scene.beat();
      expect(scene.liveness.active(2, scene.now)).toBe(false);
    }
  });

  test("that says it is unfit cannot lead", () => {
    const scene = new Scene();
    scene.beat();
    expect(scene.liveness.canLead(2)).toBe(true);
    scene.sequence += 1;
    const unfit = { ...scene.message(), healthy: false };
    scene.liveness.hear(2, unfit, { believed: none, nowMs: scene.now });
    expect(scene.liveness.canLead(2)).toBe(false);
  });
});

describe("a stall of this node", () => {
  test("blames nobody: what arrived meanwhile is heard first", () => {
    const scene = new Scene();
    scene.rounds(3);
    for (const stall of [450, 3_000, 60_000]) {
      expect(scene.wait(stall).tick().silent).toEqual([]);
      scene.rounds(1);
    }
  });

  test("does not hide for long that the other is gone", () => {
    const scene = new Scene();
    scene.rounds(3);
    scene.wait(60_000).tick();
    let ms = 0;
    while (scene.wait(beatMs).tick().silent.length === 0) ms += beatMs;
    expect(ms).toBeLessThanOrEqual(silentMs);
  });

  test("property: beats at most 450 ms late never make a node silent, whenever the ticks come", () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 450 }), { maxLength: 60 });
    fc.assert(
      fc.property(gaps, gaps, (late, stalls) => {
        const scene = new Scene();
        scene.beat();
        late.forEach((gap, i) => {
          scene.wait(beatMs + gap);
          expect(scene.tick().silent).toEqual([]);
          scene.wait(stalls[i] ?? 0);
          expect(scene.beat().restored).toEqual([]);
        });
      }),
    );
  });
});

describe("sums that differ", () => {
  test("are asked about when they differ for a second beat", () => {
    const scene = new Scene();
    scene.rounds(2);
    scene.led = some;
    expect(scene.rounds(3).map(({ ask }) => ask.length)).toEqual([0, 1, 0]);
  });

  test("are not asked about when they agree in time", () => {
    const scene = new Scene();
    scene.rounds(2);
    for (let i = 0; i < 5; i += 1) {
      scene.led = { ...some, a: i };
      expect(scene.rounds(1)[0].ask).toEqual([]);
      scene.believed = scene.led;
      expect(scene.rounds(1)[0].ask).toEqual([]);
    }
  });

  test("are asked about at once when a node is heard again", () => {
    const scene = new Scene();
    scene.led = some;
    expect(scene.beat()).toEqual({ silent: [], restored: [2], ask: [2] });
  });

  test("and stay the same are asked about ever less, but always again", () => {
    const scene = new Scene();
    scene.rounds(1);
    scene.led = some;
    const asked = scene.rounds(200).flatMap(({ ask }, i) => (ask.length > 0 ? [i] : []));
    expect(asked.slice(0, 6)).toEqual([1, 3, 7, 15, 31, 63]);
    expect(asked.at(-1)).toBeGreaterThan(150);
    scene.led = { ...some, a: 77 };
    expect(scene.rounds(3).some(({ ask }) => ask.length > 0)).toBe(true);
  });
});
