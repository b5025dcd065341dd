// One connection to a tail: events as they come, and a watch over its silence.
//
// Promise: a connection that says nothing for silenceMsMax while somebody waits is given up; while nobody waits, nothing
// is read and no time counts, so that a slow reader holds back the node and is not punished for it.

import { tailTimes } from "../contract/names.ts";
import type { Environment } from "./environment.ts";
import { RivuletError } from "./errors.ts";
import { EventParser, type ServerEvent } from "./event-parser.ts";
import type { Ask, OpenAnswer, Transport } from "./transport.ts";

/** A node says something each 15 s: three times that without a byte, and the connection is dead. */
const silenceMsMax = 3 * tailTimes.commentMs;

export class TailConnection {
  readonly #environment: Environment;
  readonly #answer: OpenAnswer;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #parser = new EventParser();
  #heard = 0;

  private constructor(environment: Environment, answer: OpenAnswer, body: ReadableStream) {
    this.#environment = environment;
    this.#answer = answer;
    this.#reader = body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  }

  static async open(transport: Transport, ask: Ask): Promise<TailConnection> {
    const answer = await transport.open(ask);
    const { body, headers } = answer.response;
    const type = headers.get("content-type") ?? "";
    if (body !== null && type.startsWith("text/event-stream")) {
      return new TailConnection(transport.environment, answer, body);
    }
    answer.close();
    const { status } = answer.response;
    throw new RivuletError(`The tail answered ${status} without events`, {
      code: "bad_answer",
      status,
    });
  }

  /** Pieces that have come; the first is the node's greeting. */
  get heard(): number {
    return this.#heard;
  }

  /** The next events, perhaps none of them complete. Rejects with RivuletError when the connection is over. */
  async events(): Promise<readonly ServerEvent[]> {
    let silent = false;
    const cancel = this.#environment.setTimer(silenceMsMax, () => {
      silent = true;
      this.close();
    });
    try {
      const { done, value } = await this.#reader.read();
      if (!done) {
        this.#heard++;
        return this.#parser.push(value);
      }
    } catch (thrown) {
      throw lost(silent ? `silent for ${silenceMsMax} ms` : "broken off", thrown);
    } finally {
      cancel();
    }
    throw lost("ended", undefined);
  }

  /** Idempotent. */
  close(): void {
    this.#answer.close();
    this.#reader.cancel().catch(() => undefined);
  }
}

function lost(how: string, cause: unknown): RivuletError {
  return new RivuletError(`The tail's connection was ${how}`, {
    code: "connection_failed",
    retryable: true,
    cause,
  });
}
