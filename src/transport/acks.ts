// The stream of acknowledgements of a lane, read by its sender (drawn in inbound-lane.ts).

import { int64At } from "../bytes/big-endian.ts";
import { Fault } from "../errors.ts";
import { limits } from "../limits.ts";
import { decodeFault } from "./call-message.ts";

export class AckReader {
  readonly #onAck: (bytes: number) => void;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(onAck: (bytes: number) => void) {
    this.#onAck = onAck;
  }

  /** Takes the next bytes, borrowed. Answers the fault that the peer told, or that the stream is; else null. */
  push(chunk: Uint8Array): Fault | null {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    let latest = -1;
    while (bytes.length - at >= 8) {
      const value = int64At(bytes, at);
      if (!(value >= 0)) {
        const told = this.#fault(bytes, at, -value);
        if (told !== null) return told;
        break;
      }
      latest = value;
      at += 8;
    }
    // A number stands for those before it.
    if (latest >= 0) this.#onAck(latest);
    this.#rest = new Uint8Array(bytes.subarray(at));
    return null;
  }

  /** The fault of `length` bytes behind its number at `at`; null when it is not whole yet. */
  #fault(bytes: Uint8Array, at: number, length: number): Fault | null {
    if (!(length <= limits.helloBytesMax))
      return new Fault("corrupt_message", "Cannot read acknowledgements: no such number");
    if (bytes.length - at - 8 < length) return null;
    return decodeFault(bytes.subarray(at + 8, at + 8 + length));
  }
}
