// The caller's side of a hello: says who it is, and checks who answers.

import type { Refusal } from "../errors.ts";
import { Fault, refuse } from "../errors.ts";
import type { World } from "../world.ts";
import {
  decodeHelloAnswer,
  encodeHello,
  encodeProof,
  type HelloAnswer,
  type HelloRequest,
  nonceBytes,
  transcriptOf,
} from "./hello.ts";
import type { PeerAuth } from "./peer-auth.ts";
import { proofHeader, sessionHeader } from "./peer-door.ts";
import { answeredFault, faultOf, type PeerWire, type WireTarget } from "./peer-wire.ts";

export interface Greeting {
  readonly answer: HelloAnswer;
  readonly transcript: Uint8Array;
  /** What opens `label` (a lane's name, or "join ...") in this session. */
  headersFor(label: string): Readonly<Record<string, string>>;
}

export type Greeter = Omit<HelloRequest, "nonce" | "certificate">;

/** Throws Fault: what the peer answered, wrong_cluster, wrong_node, peer_authentication_failed, node_unreachable. */
export async function greet(
  wire: PeerWire,
  who: Greeter,
  {
    world,
    auth,
    target,
  }: { readonly world: World; readonly auth: PeerAuth; readonly target: WireTarget },
): Promise<Greeting> {
  const nonce = world.randomBytes(nonceBytes);
  const hello: HelloRequest = { ...who, nonce, certificate: auth.certificate };
  const answered = await wire.ask("/peer/v1/hello", {}, encodeHello(hello));
  const read = answered.status === 200 ? decodeHelloAnswer(answered.body) : null;
  if (read === null) throw answeredFault(target, answered);
  const { answer, proof } = read;
  const transcript = transcriptOf(hello, answer);
  const refused =
    strange(who, answer) ??
    auth.check({ label: "callee", transcript, proof, certificate: answer.certificate });
  if (refused !== null) throw faultOf(refused);
  const session = Buffer.from(answer.session).toString("hex");
  return {
    answer,
    transcript,
    headersFor: (label) => ({
      [sessionHeader]: session,
      [proofHeader]: encodeProof(auth.prove(`caller ${label}`, transcript)),
    }),
  };
}

/** Why the one who answers is not the one who was asked for, or null. */
function strange({ purpose, clusterId, to }: Greeter, answer: HelloAnswer): Refusal | null {
  if (purpose === "join") return null;
  if (answer.clusterId !== clusterId)
    return refuse(
      "wrong_cluster",
      `Cannot talk to node ${to}: cluster ${clusterId} is wanted, got ${answer.clusterId}`,
    );
  if (answer.nodeId !== to)
    return refuse("wrong_node", `Cannot talk to node ${to}: node ${answer.nodeId} answers`);
  return null;
}

/** A fault of whatever was thrown while connecting. */
export function faultIn(thrown: unknown): Fault {
  return thrown instanceof Fault
    ? thrown
    : new Fault("node_unreachable", "Cannot connect", { cause: thrown });
}
