// How a command reaches the controller's leader from whichever node it is submitted on, and how its outcome comes back.
//
//   submit --> this node leads: proposed here
//          \-> another leads: call "controller-submit" --> proposed there --> {index, change} --> applied here: settled
//          \-> nobody leads: waits for an election, within the deadline
//
// Promise: a command is sent again only when its first try certainly did nothing, or when doing it twice is doing it
// once (isRepeatable()); it settles when it is applied on this node too, so that the submitter's next read sees it; it
// never waits longer than submitMsMax. Left to others: proposing and applying (controller.ts).

import type { Replica } from "../consensus/replica.ts";
import { refuse, refusalOf, type Code, type Refusal } from "../errors.ts";
import type { CallResult, Calls, IncomingCall } from "../transport/calls.ts";
import type { World } from "../world.ts";
import type { Applied, Change } from "./cluster-state.ts";
import { decodeCommand, encodeCommand, isRepeatable, type Command } from "./commands.ts";

const verb = "controller-submit";

/** A command waits no longer for a leader and its answer: an election takes 1 to 3 s, a slow one several rounds. */
export const submitMsMax = 10_000;
/** Between two tries: the first, then twice as long each. */
const pauseMs = { first: 25, max: 500 } as const;

/** Where this node is one of several. */
export interface ClusterSeat {
  readonly world: World;
  readonly nodeId: number;
  readonly calls: Calls;
  /** Whether packets reach the node now; for the words of a refusal alone. */
  readonly reachable: (nodeId: number) => boolean;
}

/** What the route asks of the controller. */
export interface RouteTarget {
  replica(): Replica;
  /** Proposes here, where this node leads, and settles with the outcome and its log index. */
  propose(command: Command): Promise<Outcome>;
  /** What the command at that index did here, once it is applied here; a refusal after timeoutMs. */
  applied(index: number, told: Change, timeoutMs: number): Promise<Applied>;
}

export interface Outcome {
  readonly applied: Applied;
  /** 0 for a command that was not proposed. */
  readonly index: number;
}

/** Refusals after which another try may find a leader. */
const elsewhere: ReadonlySet<Code> = new Set([
  "not_leader_or_follower",
  "node_unreachable",
  "request_timed_out",
  "shutting_down",
  "overloaded",
]);

export class ControllerRoute {
  readonly #seat: ClusterSeat;
  readonly #target: RouteTarget;

  constructor(seat: ClusterSeat, target: RouteTarget) {
    this.#seat = seat;
    this.#target = target;
    seat.calls.serve(verb, (call) => this.#serve(call));
  }

  reaches(nodeId: number): boolean {
    return this.#seat.reachable(nodeId);
  }

  /** Settles when the command is applied here. Never rejects. */
  submit(command: Command): Promise<Applied> {
    return this.#send(command, (told, timeoutMs) =>
      this.#target.applied(told.index, told.change, timeoutMs),
    );
  }

  /** Settles when the command is applied where the controller is led: for a node whose own replica applies nothing.
   *  Never rejects. */
  submitElsewhere(command: Command): Promise<Applied> {
    return this.#send(command, ({ change }) => Promise.resolve({ ok: true, change }));
  }

  async #send(command: Command, settle: Settle): Promise<Applied> {
    const { world } = this.#seat;
    const deadline = world.monotonic() + submitMsMax;
    let pause: number = pauseMs.first;
    for (;;) {
      const outcome = await this.#try(command, deadline, settle);
      if (outcome.ok || !mayTryAgain(outcome, command)) return outcome;
      if (deadline - world.monotonic() <= pause) return this.#inVain(outcome);
      await this.#pause(pause * (0.5 + world.random() / 2));
      pause = Math.min(pause * 2, pauseMs.max);
    }
  }

  /** One try. A refusal of this node itself, other than that it found no leader, is the last word. */
  async #try(
    command: Command,
    deadline: number,
    settle: Settle,
  ): Promise<Applied & { readonly final?: true }> {
    const { world, nodeId } = this.#seat;
    const left = (): number => deadline - world.monotonic();
    const leader = await this.#findLeader(left());
    if (typeof leader !== "number") return isElection(leader) ? leader : { ...leader, final: true };
    if (leader !== nodeId) return await this.#ask({ leader, command, timeoutMs: left(), settle });
    const { applied } = await this.#target.propose(command);
    return applied.ok || isElection(applied) ? applied : { ...applied, final: true };
  }

  async #findLeader(timeoutMs: number): Promise<number | Refusal> {
    const replica = this.#target.replica();
    if (replica.ready) return this.#seat.nodeId;
    try {
      return await replica.leader(timeoutMs);
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  async #ask(of: {
    readonly leader: number;
    readonly command: Command;
    readonly timeoutMs: number;
    readonly settle: Settle;
  }): Promise<Applied> {
    const { leader, command, timeoutMs, settle } = of;
    const { calls, world } = this.#seat;
    const began = world.monotonic();
    const body = [encodeCommand(command)];
    try {
      const answer = await calls.call({ to: leader, verb, head: null, body, timeoutMs });
      const told = answer.head as Told;
      if (!told.ok) return told;
      const left = timeoutMs - (world.monotonic() - began);
      return await settle(told, left);
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** Another node asks this one, which must lead: a question is never passed on twice. */
  async #serve(call: IncomingCall): Promise<CallResult> {
    const replica = this.#target.replica();
    if (!replica.role.leader) return { head: this.#notLeader(replica.role.leaderId) };
    const { applied, index } = await this.#target.propose(decodeCommand(call.body));
    const told: Told = applied.ok ? { ok: true, index, change: briefly(applied.change) } : applied;
    return { head: told };
  }

  #notLeader(leader: number): Refusal {
    const detail = `Cannot change the cluster's metadata: node ${this.#seat.nodeId} does not lead the controller`;
    return refuse("not_leader_or_follower", detail, { members: { leader } });
  }

  /** The words for a person: how far the cluster is from a majority. */
  #inVain(last: Refusal): Refusal {
    const { voters } = this.#target.replica().members;
    const { nodeId, reachable } = this.#seat;
    const nodes = [...new Set(voters.map((voter) => voter.nodeId))];
    const up = nodes.filter((node) => node === nodeId || reachable(node)).length;
    const leader = this.#target.replica().role.leaderId;
    const known =
      leader === 0 ? "the controller has no leader" : `node ${leader} leads the controller`;
    const detail = `Cannot change the cluster's metadata: ${known}: ${up} of ${nodes.length} voters can be reached. ${last.detail}`;
    const members = { ...last.members, votersReachable: up, voters: nodes.length };
    const code = last.sideEffects === "none" ? "not_leader_or_follower" : "request_timed_out";
    return refuse(code, detail, { sideEffects: last.sideEffects, members });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#seat.world.setTimer(ms, resolve));
  }
}

/** The answer's head. */
type Told = Committed | Refusal;

interface Committed {
  readonly ok: true;
  readonly index: number;
  readonly change: Change;
}

/** What a command that another node committed comes to here. */
type Settle = (told: Committed, timeoutMs: number) => Promise<Applied>;

function mayTryAgain(refusal: Refusal & { readonly final?: true }, command: Command): boolean {
  if (refusal.final === true || !elsewhere.has(refusal.code)) return false;
  return refusal.sideEffects === "none" || isRepeatable(command);
}

/** Leadership is elsewhere or nowhere for now. */
export function isElection({ code }: Refusal): boolean {
  return code === "not_leader_or_follower" || code === "request_timed_out";
}

/** What the asking node cannot read from its own fold; a topic it finds there. */
function briefly(change: Change): Change {
  return change.kind === "producerIds" || change.kind === "nodeChanged" ? change : { kind: "none" };
}
