// Who may do what: the one question that both doors ask before they touch the broker.
//
// Promise: every route and every API calls it with its own action and resource, so that security, when it is built,
// has one place to stand. Until then everyone is `anonymous` and may do everything; who can reach the port is bounded
// by the bind address instead.

/** Kafka's operations. */
export type Action =
  | "read"
  | "write"
  | "create"
  | "delete"
  | "alter"
  | "describe"
  | "alter_configs"
  | "describe_configs"
  | "idempotent_write";

export type Resource =
  | { readonly type: "cluster" }
  | { readonly type: "topic"; readonly name: string }
  /** What anybody who reaches the port may see: liveness, limits, the door's own description. */
  | { readonly type: "public" };

export interface Principal {
  readonly name: string;
}

export const anonymous: Principal = { name: "anonymous" };
export const theCluster: Resource = { type: "cluster" };
export const thePublic: Resource = { type: "public" };

/** True when the principal may. */
export type Authorize = (principal: Principal, action: Action, resource: Resource) => boolean;

export const allowAll: Authorize = () => true;
