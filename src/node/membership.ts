// Who a node is from this start on: alone as before, the first of a cluster, a member that comes back, or a newcomer that
// is let in.
//
//   folder          --peer --join   becomes
//   new             no              node 1, alone
//   new             yes     no      node 1, the first of its cluster
//   new             yes     yes     what the cluster says (joining.ts)
//   alone           yes     no      the first of its cluster, with all that it has
//   alone           yes     yes     refused: it has a cluster of its own
//   member          yes     any     itself: --join is for the first start
//   member          no              itself while it is the only one; else refused, for nobody could reach it
//
// Promise: an identity is on the disk before anybody is told of it; a node that was refused leaves none behind.

import { Fault } from "../errors.ts";
import { uuidV4 } from "../cluster/uuid.ts";
import type { JoinRequest } from "../cluster/membership.ts";
import type { Peer } from "../transport/transport.ts";
import type { World } from "../world.ts";
import { becomeMember, isMember, newcomer, openIdentity, type Identity } from "./data-folder.ts";
import {
  askMembers,
  findMembers,
  forgetRequest,
  joinAdvice,
  joinRequestId,
  type Joining,
  type PeerPlace,
} from "./joining.ts";
import type { Log } from "./logs.ts";
import type { PeerNetwork, PeerOptions } from "./peering.ts";
import { peekIdentity, type Opened, type Storage } from "./storage.ts";

export interface Membership {
  readonly identity: Identity;
  /** This start made it a member: its replica of the controller's group is to be born. */
  readonly joined: boolean;
  /** The other members as far as they are known before the controller is. */
  readonly peers: readonly Peer[];
}

export interface MembershipNeeds {
  readonly world: World;
  readonly log: Log;
  readonly version: string;
  readonly peer: PeerOptions | null;
  /** null: the node is alone. */
  readonly network: PeerNetwork | null;
  /** Where clients reach the node's HTTP door; null: nowhere that others could name. */
  readonly http: string | null;
}

/** Peer ports of the cluster to join; null: nothing is to be joined. Asked before the folder is touched. */
export async function placesToJoin(
  storage: Storage,
  { world, log, peer }: MembershipNeeds,
): Promise<readonly PeerPlace[] | null> {
  if (peer === null || peer.join.length === 0) return null;
  const identity = peekIdentity(storage);
  if (identity !== null && isMember(identity)) return null;
  return await findMembers({ world, log, urls: peer.join });
}

/** The caller holds the folder's lock. Throws Fault: invalid_config, and why the cluster has refused the node. */
export async function settleMembership(
  opened: Opened,
  places: readonly PeerPlace[] | null,
  needs: MembershipNeeds,
): Promise<Membership> {
  const { dir, peers } = opened;
  const known = opened.identity ?? newcomer;
  const { peer, network } = needs;
  if (peer === null || network === null) {
    if (peers.length > 0) throw needsPeer(known);
    return { identity: dir === null ? known : openIdentity(dir), joined: false, peers: [] };
  }
  if (isMember(known)) return { identity: known, joined: false, peers };
  if (places !== null) return await join(opened, places, { ...needs, peer, network });
  const clusterId = known.clusterId ?? uuidV4(needs.world);
  const { nodeId, controllerIncarnation } = known;
  const identity = remember(dir, { nodeId, clusterId, controllerIncarnation });
  return { identity, joined: false, peers: [] };
}

function needsPeer({ nodeId, clusterId }: Identity): Fault {
  const detail = `This folder is node ${nodeId} of cluster ${clusterId}, which has other nodes: start it with --peer HOST:PORT, as before`;
  return new Fault("invalid_config", detail);
}

function remember(dir: string | null, of: Parameters<typeof becomeMember>[1]): Identity {
  // In memory the caller keeps it (RunningNode.identity).
  return dir === null ? { formatVersion: 2, ...of } : becomeMember(dir, of);
}

async function join(
  opened: Opened,
  places: readonly PeerPlace[],
  needs: MembershipNeeds & { readonly peer: PeerOptions; readonly network: PeerNetwork },
): Promise<Membership> {
  const { dir } = opened;
  const { world, log, peer, network } = needs;
  const request = requestOf(opened, needs);
  const joining: Joining = { world, log, urls: peer.join };
  try {
    const answer = await askMembers(joining, places, (place) => network.join(place, request));
    const { nodeId, clusterId, incarnation, peers } = answer;
    const identity = remember(dir, { nodeId, clusterId, controllerIncarnation: incarnation });
    if (dir !== null) forgetRequest(dir);
    log.write("info", "Joined", { nodeId, clusterId });
    return { identity, joined: true, peers };
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    // A refusal is the last word; without one the next start asks for the same again.
    if (!fault.retryable && dir !== null) forgetRequest(dir);
    const { code, message, members, sideEffects } = fault;
    const detail = `${message}${joinAdvice(fault)}`;
    throw new Fault(code, detail, { cause: fault, members, sideEffects });
  }
}

function requestOf(
  { dir, identity }: Opened,
  { world, version, peer, http }: MembershipNeeds & { readonly peer: PeerOptions },
): JoinRequest {
  return {
    requestId: dir === null ? hex(world.randomBytes(16)) : joinRequestId(dir, world),
    version,
    http,
    peer: peer.advertisePeer ?? { host: peer.listen.host, port: peer.listen.port },
    region: peer.region,
    clusterId: identity?.clusterId ?? null,
  };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
