// Pieces of memory into which lanes write frames on their way to a socket, used again once the peer acknowledged them.
//
// Promise: at most keptMax pieces lie unused. The acknowledgement is the proof that a piece has left: what a runtime's
// own "written" means differs between Bun and Deno.

export const chunkBytes = 64 * 1024;
const keptMax = 64;

export class ChunkPool {
  readonly #free: Uint8Array[] = [];

  /** chunkBytes of memory with whatever was in it; owned by the caller. */
  take(): Uint8Array {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
  }

  /** Nobody reads it any more. */
  give(chunk: Uint8Array): void {
    if (this.#free.length < keptMax) this.#free.push(chunk);
  }
}
