// One table of codes for everything that can be refused or fail, shared by the HTTP door and the Kafka door.
//
// Three kinds of wrong (STYLE.md): a bug throws Bug (assert.ts); a refusal that the protocol knows is a returned
// Refusal; a fault of disk or socket is a thrown Fault. Nothing ever branches on the text of a message.

/** What a caller may conclude about the effects of a request that failed. */
export type SideEffects = "none" | "unknown";

interface CodeRow {
  /** Kafka's error number; -1 where Kafka has no such error. */
  readonly kafka: number;
  readonly http: number;
  /** The same request may succeed later. */
  readonly retryable: boolean;
  /** A short human title, the same for every occurrence (RFC 9457). */
  readonly title: string;
}

const row = (kafka: number, http: number, retryable: boolean, title: string): CodeRow => ({
  kafka,
  http,
  retryable,
  title,
});

/** Every code, Kafka's name in lower snake case where one exists. */
export const codes = {
  //                               kafka http retryable title
  unknown_server_error: row(-1, 500, false, "Unexpected error"),
  offset_out_of_range: row(1, 416, false, "Offset out of range"),
  corrupt_message: row(2, 400, false, "Corrupt record batch"),
  unknown_topic_or_partition: row(3, 404, false, "Unknown topic or partition"),
  not_leader_or_follower: row(6, 503, true, "This node does not lead the partition"),
  request_timed_out: row(7, 504, true, "Request timed out"),
  message_too_large: row(10, 413, false, "Record or batch too large"),
  invalid_topic_exception: row(17, 400, false, "Invalid topic name"),
  record_list_too_large: row(18, 413, false, "Batch larger than a segment"),
  not_enough_replicas: row(19, 503, true, "Not enough replicas"),
  invalid_required_acks: row(21, 400, false, "Invalid acks"),
  topic_authorization_failed: row(29, 403, false, "Not authorized for the topic"),
  cluster_authorization_failed: row(31, 403, false, "Not authorized for the cluster"),
  invalid_timestamp: row(32, 400, false, "Invalid timestamp"),
  topic_already_exists: row(36, 409, false, "Topic already exists"),
  invalid_partitions: row(37, 400, false, "Invalid number of partitions"),
  invalid_replication_factor: row(38, 400, false, "Invalid replication factor"),
  invalid_config: row(40, 400, false, "Invalid configuration"),
  invalid_request: row(42, 400, false, "Invalid request"),
  policy_violation: row(44, 409, false, "Policy violation"),
  out_of_order_sequence_number: row(45, 412, false, "Sequence out of order"),
  duplicate_sequence_number: row(46, 409, false, "Sequence already written"),
  invalid_producer_epoch: row(47, 412, false, "Producer fenced by a newer epoch"),
  kafka_storage_error: row(56, 507, true, "The disk refused the write"),
  unknown_producer_id: row(59, 412, false, "Unknown producer id"),
  invalid_record: row(87, 400, false, "Invalid record"),
  unknown_topic_id: row(100, 404, false, "Unknown topic id"),
  unsupported_compression_type: row(76, 400, false, "Unsupported compression"),
  // Codes that Kafka does not have.
  not_found: row(-1, 404, false, "No such route"),
  method_not_allowed: row(-1, 405, false, "Method not allowed"),
  not_acceptable: row(-1, 406, false, "No acceptable representation"),
  request_body_timeout: row(-1, 408, true, "The body came too slowly"),
  topic_recreated: row(-1, 410, false, "The topic was deleted and made anew"),
  precondition_failed: row(-1, 412, false, "A condition does not hold"),
  expected_offset_mismatch: row(-1, 412, false, "The log end is elsewhere"),
  fence_mismatch: row(-1, 412, false, "Another fence token is set"),
  body_too_large: row(-1, 413, false, "Body too large"),
  unsupported_media_type: row(-1, 415, false, "Unsupported media type"),
  misdirected_request: row(-1, 421, false, "Unknown Host"),
  idempotency_key_reused: row(-1, 422, false, "Idempotency-Key was used with another body"),
  header_fields_too_large: row(-1, 431, false, "Header fields too large"),
  uri_too_long: row(-1, 414, false, "URL too long"),
  origin_not_allowed: row(-1, 403, false, "Origin not allowed"),
  receipts_not_read: row(-1, 408, false, "Receipts were not read"),
  overloaded: row(-1, 503, true, "Overloaded"),
  node_unreachable: row(-1, 503, true, "Another node cannot be reached"),
  wrong_cluster: row(-1, 409, false, "A node of another cluster"),
  wrong_node: row(-1, 409, false, "Another node than was asked for"),
  replaced_process: row(-1, 409, false, "A newer process runs as this node"),
  peer_authentication_failed: row(-1, 401, false, "A node did not prove that it belongs here"),
  shutting_down: row(-1, 503, true, "The node is stopping"),
  storage_full: row(56, 507, true, "No space left on the disk"),
  storage_failed: row(56, 507, false, "The disk failed"),
  storage_damaged: row(56, 500, false, "Stored data is damaged"),
} as const satisfies Record<string, CodeRow>;

export type Code = keyof typeof codes;

/** A refusal that the protocol knows: returned, never thrown. Nothing was appended unless sideEffects says so. */
export interface Refusal {
  readonly ok: false;
  readonly code: Code;
  /** Action, object, wanted, found; for a person. */
  readonly detail: string;
  readonly sideEffects: SideEffects;
  /** When to try again, ms; only with retryable codes. */
  readonly retryAfterMs?: number;
  /** Members that the code promises, e.g. expectedOffset and currentOffset (camelCase, JSON values). */
  readonly members?: Readonly<Record<string, unknown>>;
}

/** Builds a Refusal without side effects. */
export function refuse(
  code: Code,
  detail: string,
  more: Partial<Pick<Refusal, "sideEffects" | "retryAfterMs" | "members">> = {},
): Refusal {
  return { ok: false, code, detail, sideEffects: "none", ...more };
}

/** A fault of disk, socket or worker: thrown. The cause is kept for the log. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: Code;
  readonly retryable: boolean;
  readonly sideEffects: SideEffects;
  readonly members: Readonly<Record<string, unknown>>;

  constructor(
    code: Code,
    detail: string,
    more: {
      cause?: unknown;
      sideEffects?: SideEffects;
      members?: Readonly<Record<string, unknown>>;
    } = {},
  ) {
    super(detail, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.retryable = codes[code].retryable;
    this.sideEffects = more.sideEffects ?? "none";
    this.members = more.members ?? {};
  }
}

/** The refusal that tells a caller of a fault; a thrown value that is no Fault is `unknown_server_error`. */
export function refusalOf(thrown: unknown): Refusal {
  if (thrown instanceof Fault) {
    const { code, message, sideEffects, members } = thrown;
    return { ok: false, code, detail: message, sideEffects, members };
  }
  const detail = "An unexpected error was logged by the node";
  return { ok: false, code: "unknown_server_error", detail, sideEffects: "unknown" };
}
