// Branded numbers that must never be swapped for one another.
//
// Promise: an Offset cannot be passed where a LogIndex is wanted. The brands vanish at run time: each is a plain
// number below 2^53, so arithmetic yields `number` and the constructor function puts the brand back on.

/** Kafka offset of a record: dense over records, from 0. */
export type Offset = number & { readonly __offset: never };
/** Raft log index: counts entries, from 1; 0 stands before the first entry. */
export type LogIndex = number & { readonly __logIndex: never };
/** Raft term, from 1; 0 stands before the first election. */
export type Term = number & { readonly __term: never };
/** Row number in a node's journal, from 1, never reused. */
export type Lsn = number & { readonly __lsn: never };
/** Node-local number given once to (group id, incarnation) and never reused; 0 is the controller. */
export type ReplicaNumber = number & { readonly __replica: never };

export const offset = (n: number): Offset => n as Offset;
export const logIndex = (n: number): LogIndex => n as LogIndex;
export const term = (n: number): Term => n as Term;
export const lsn = (n: number): Lsn => n as Lsn;
export const replicaNumber = (n: number): ReplicaNumber => n as ReplicaNumber;
