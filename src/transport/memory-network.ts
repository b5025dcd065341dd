// A network in memory: a Transport for each node of a cluster within one process, with faults to inject. It stands for
// HTTP/2 in the simulator, in rivulet/test and wherever a test wants several nodes.
//
//   direction a->b    lane  [packet, packet, ...]  each due at its time, in order     --> b.onPacket()
//                     held while the direction is cut or clogged; broken after stallMs of that, as the watchdog does
//
// It behaves like TCP: packets of a lane are late, never out of order, never twice; what is lost is told to its sender
// by onBroken(). Promise: everything follows from the World (its clock, its random numbers), so one seed is one course
// of events. Bytes are copied at delivery and the copy is poisoned when onPacket() returns: who uses bytes after
// release(), or keeps a borrowed packet, sees it at once. Left to others: which faults to inject, and when.

import { assert } from "../assert.ts";
import type { World } from "../world.ts";
import { MemoryTransport } from "./memory-transport.ts";
import type { Lane } from "./transport.ts";

/** Every packet takes a random time between the two, ms. */
export interface Delay {
  readonly minMs: number;
  readonly maxMs: number;
}

export interface MemoryNetworkOptions {
  /** Of every direction that delay() did not name. Default 0: delivered at the end of the turn. */
  readonly delay?: Delay;
  /** A packet that was held so long breaks the connection. Default 5,000. */
  readonly stallMs?: number;
  /** From an ended connection to the next attempt. Default 50. */
  readonly reconnectMs?: number;
}

/** What is wrong with the way from one node to another. */
export interface Faults {
  delay: Delay;
  /** Chance that a packet is lost, and its lane with it, [0, 1]. */
  loss: number;
  /** Nothing passes, and no connection comes about. */
  cut: boolean;
  /** Nothing passes for now. */
  clogged: boolean;
}

export class MemoryNetwork {
  readonly world: World;
  readonly stallMs: number;
  readonly reconnectMs: number;
  readonly #delay: Delay;
  readonly #transports = new Map<number, MemoryTransport>();
  readonly #faults = new Map<string, Faults>();

  constructor(world: World, options: MemoryNetworkOptions = {}) {
    this.world = world;
    this.#delay = options.delay ?? { minMs: 0, maxMs: 0 };
    this.stallMs = options.stallMs ?? 5_000;
    this.reconnectMs = options.reconnectMs ?? 50;
  }

  /** The transport of a node's process. A second one for the same node is its next process: the former is killed. */
  transport(nodeId: number): MemoryTransport {
    this.kill(nodeId);
    const transport = new MemoryTransport(this, nodeId);
    this.#transports.set(nodeId, transport);
    return transport;
  }

  /** The process is gone, its sockets with it: the others hear so as fast as a packet travels. Idempotent. */
  kill(nodeId: number): void {
    this.#transports.get(nodeId)?.kill();
  }

  /** Nothing passes from `from` to `to`; the other way goes on. Packets are held until heal(), or lost after stallMs. */
  cutOneWay(from: number, to: number): void {
    this.faults(from, to).cut = true;
    this.#changed();
  }

  /** Nothing passes between the two. */
  cut(a: number, b: number): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  /** Nothing passes between `nodeId` and any of the others (default: every other node). */
  isolate(nodeId: number, others: Iterable<number> = this.#transports.keys()): void {
    for (const other of others) if (other !== nodeId) this.cut(nodeId, other);
  }

  /** Packets are held until unclog(), or lost after stallMs, when a new connection is made. */
  clog(from: number, to: number): void {
    this.faults(from, to).clogged = true;
    this.#changed();
  }

  unclog(from: number, to: number): void {
    this.faults(from, to).clogged = false;
    this.#changed();
  }

  /** Packets already sent keep their time. */
  delay(from: number, to: number, delay: Delay): void {
    assert(0 <= delay.minMs && delay.minMs <= delay.maxMs, "A delay's minMs is in 0 to maxMs");
    this.faults(from, to).delay = delay;
  }

  /** From now on a packet is lost by this chance, [0, 1], and its lane broken. */
  lose(from: number, to: number, chance: number): void {
    this.faults(from, to).loss = chance;
  }

  /** The connection from `from` to `to` ends (a reset): what is on its way is lost and told; the next is made. */
  reset(from: number, to: number): void {
    this.#transports.get(from)?.breakLink(to);
  }

  /** One lane alone breaks, as a lost packet breaks it. */
  breakLane(from: number, to: number, lane: Lane): void {
    this.#transports.get(from)?.breakLane(to, lane);
  }

  /** Ends every fault (cuts, clogs, loss, delays) between two nodes, or everywhere. Killed nodes stay dead. */
  heal(a?: number, b?: number): void {
    if (a === undefined || b === undefined) this.#faults.clear();
    else for (const key of [keyOf(a, b), keyOf(b, a)]) this.#faults.delete(key);
    this.#changed();
  }

  /** Of one direction; to be changed by the methods above alone. */
  faults(from: number, to: number): Faults {
    const key = keyOf(from, to);
    let faults = this.#faults.get(key);
    if (faults === undefined) {
      faults = { delay: this.#delay, loss: 0, cut: false, clogged: false };
      this.#faults.set(key, faults);
    }
    return faults;
  }

  /** The open transport of a node, or undefined. */
  at(nodeId: number): MemoryTransport | undefined {
    const transport = this.#transports.get(nodeId);
    return transport?.isOpen === true ? transport : undefined;
  }

  /** A handshake needs both ways. */
  canConnect(from: number, to: number): boolean {
    return this.at(to) !== undefined && !this.faults(from, to).cut && !this.faults(to, from).cut;
  }

  /** A node opened, or a fault came or went: everyone looks again. */
  changed(): void {
    this.#changed();
  }

  /** How long something sent now takes from one node to the other, ms. */
  travelMs(from: number, to: number): number {
    const { minMs, maxMs } = this.faults(from, to).delay;
    return minMs === maxMs ? minMs : minMs + this.world.random() * (maxMs - minMs);
  }

  /** Runs fn in `delayMs`; at the end of this turn when that is 0. */
  after(delayMs: number, fn: () => void): void {
    if (delayMs <= 0) this.world.defer(fn);
    else this.world.setTimer(delayMs, fn);
  }

  #changed(): void {
    for (const transport of this.#transports.values()) transport.look();
  }
}

const keyOf = (from: number, to: number): string => `${from}>${to}`;
