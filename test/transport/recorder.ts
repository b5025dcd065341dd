// What a transport tells its owner, written down for tests.

import type { InPacket, Lane, OutPacket, TransportEvents } from "../../src/transport/transport.ts";

export interface Received {
  readonly from: number;
  readonly lane: Lane;
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

export class Recorder implements TransportEvents {
  readonly packets: Received[] = [];
  /** "up 2", "broken 2 append", "down 2", in their order. */
  readonly events: string[] = [];
  /** Called after each event and packet. */
  onChange: (() => void) | null = null;

  onPacket({ from, lane, head, body }: InPacket): void {
    this.packets.push({ from, lane, head: head.slice(), body: body.slice() });
    this.onChange?.();
  }
  onUp(nodeId: number): void {
    this.#note(`up ${nodeId}`);
  }
  onBroken(nodeId: number, lane: Lane): void {
    this.#note(`broken ${nodeId} ${lane}`);
  }
  onDown(nodeId: number): void {
    this.#note(`down ${nodeId}`);
  }

  /** Heads as text, of one lane or all. */
  heads(lane?: Lane): string[] {
    return this.packets
      .filter((packet) => lane === undefined || packet.lane === lane)
      .map((packet) => new TextDecoder().decode(packet.head));
  }

  #note(event: string): void {
    this.events.push(event);
    this.onChange?.();
  }
}

/** A packet whose head is text. */
export function textPacket(
  head: string,
  body: readonly Uint8Array[] = [],
  release?: () => void,
): OutPacket {
  return { head: new TextEncoder().encode(head), body, release };
}
