// Questions to another node and their answers, over the transport's `call` lane: forwarded requests, joins, reads.
//
// Promise: every call settles: with the answer, with the refusal that the other side threw or returned, or with a fault
// when time is over or the connection ends (sideEffects "none" when the call never left, else "unknown"). Limits on
// calls under way and on their bytes. Left to others: what a verb means (each has one handler).

export interface CallRequest {
  readonly to: number;
  /** What is asked, e.g. "append"; [a-z-]. */
  readonly verb: string;
  /** Plain data for msgpackr. */
  readonly head: unknown;
  /** Borrowed until the call settles; with `release` until that is called, once, which may be later: a node that answers
   *  nothing takes nothing either. */
  readonly body?: readonly Uint8Array[];
  readonly release?: () => void;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface CallAnswer {
  readonly head: unknown;
  /** Owned by the caller. */
  readonly body: Uint8Array;
}

export interface IncomingCall {
  readonly from: number;
  readonly head: unknown;
  /** Owned by the handler. */
  readonly body: Uint8Array;
  /** The caller gave up, or its connection ended. */
  readonly signal: AbortSignal;
}

export interface CallResult {
  readonly head: unknown;
  /** Borrowed until release(). */
  readonly body?: readonly Uint8Array[];
  readonly release?: () => void;
}

export type CallHandler = (call: IncomingCall) => Promise<CallResult>;

export interface Calls {
  /** Rejects with a Fault alone: what the handler threw (code, detail, sideEffects, members), node_unreachable,
   *  request_timed_out, overloaded, shutting_down. */
  call(request: CallRequest): Promise<CallAnswer>;
  /** One handler a verb; an unknown verb is refused. */
  serve(verb: string, handler: CallHandler): void;
}
