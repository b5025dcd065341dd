// A group of participants in one hand: golden scripts drive each message, write and tick by command (interaction-script
// parses them). The environment's own semantics follow etcd's rafttest: one FIFO of messages in flight; `stabilize`
// runs all Readys, then deliveries, then append threads, then apply threads, until nothing is left; messages to storage
// threads are never dropped; the state machine appends each payload to a string and remembers every state it had.

import {
  appendThread,
  checkState,
  checkTransition,
  hardStateOf,
  isStorageThread,
  MemoryStorage,
  noMembers,
  observe,
  RawNode,
  type Config,
  type ConfState,
  type Entry,
  type HardState,
  type Message,
  type Observation,
  type Ready,
  type Snapshot,
  type StepResult,
} from "../../raft/index.ts";
import { describeAsJson, describeMessage, describeReady } from "../../raft/describe.ts";

/** Payload that marks a change proposed in etcd's old format; only its printed name differs. */
export const oldFormat = "v1";

export function formatEntry(entry: Entry<string>): string {
  const text = describeAsJson(entry);
  const old = entry.type === "confChange" && entry.data === oldFormat;
  return old ? text.replace("EntryConfChangeV2", "EntryConfChange") : text;
}

const stepErrors: Readonly<Record<Exclude<StepResult, "ok">, string>> = {
  dropped: "raft proposal dropped",
  local: "raft: cannot step raft local message",
  unknownPeer: "raft: cannot step as peer not found",
};

/** Gives the newest state of the state machine as its snapshot. */
class HistoryStorage extends MemoryStorage<string> {
  readonly history: Snapshot[];

  constructor(first: Snapshot) {
    super(first);
    this.history = [first];
  }

  override snapshot(): Snapshot {
    return this.history.at(-1)!;
  }
}

export class Participant {
  readonly id: number;
  readonly node: RawNode<string>;
  readonly storage: HistoryStorage;
  readonly appendWork: Message<string>[] = [];
  readonly applyWork: Message<string>[] = [];
  readonly config: Config<string>;
  #seen: Observation;

  constructor(config: Config<string>, first: Snapshot) {
    this.id = config.id;
    this.config = config;
    this.storage = new HistoryStorage(first);
    this.node = new RawNode(config, this.storage);
    this.#seen = observe(this.node);
  }

  /** Runs the invariants; called after everything that touches the node. */
  check(): void {
    checkState(this.node);
    const now = observe(this.node);
    checkTransition(this.#seen, now);
    this.#seen = now;
  }

  append(write: {
    readonly hardState: HardState | null;
    readonly snapshot: Snapshot | null;
    readonly entries: readonly Entry<string>[];
  }): void {
    if (write.hardState !== null) this.storage.hardState = write.hardState;
    if (write.snapshot !== null) this.storage.install(write.snapshot);
    else this.storage.append(write.entries);
  }

  apply(entries: readonly Entry<string>[]): void {
    for (const entry of entries) {
      const last = this.storage.history.at(-1)!;
      let { confState }: { confState: ConfState } = last;
      let update = entry.data ?? "";
      if (entry.change !== null) {
        confState = this.node.applyConfChange(entry) ?? confState;
        update = "";
      }
      const data = `${last.data as string}${update}`;
      this.storage.history.push({ index: entry.index, term: entry.term, confState, data });
    }
  }
}

export class Interaction {
  readonly participants: Participant[] = [];
  messages: Message<string>[] = [];
  /** Nothing but errors is printed. */
  quiet = false;
  #out = "";
  readonly #asynchronous: boolean;

  constructor(options: { readonly asynchronous?: boolean } = {}) {
    this.#asynchronous = options.asynchronous ?? false;
  }

  takeOutput(): string {
    const out = this.#out;
    this.#out = "";
    return out;
  }

  print(text: string): void {
    if (!this.quiet) this.#out += text;
  }

  #indented(run: () => void): void {
    const outer = this.#out;
    this.#out = "";
    run();
    const lines = this.#out.replace(/\n$/, "").split("\n");
    this.#out = outer + (this.#out === "" ? "" : lines.map((line) => `  ${line}\n`).join(""));
  }

  participant(id: number): Participant {
    const found = this.participants[id - 1];
    if (found === undefined) throw new Error(`no node ${id}`);
    return found;
  }

  addNodes(count: number, wanted: Omit<Config<string>, "id">, first: Snapshot | null): void {
    const config = this.#asynchronous ? { ...wanted, asyncStorageWrites: true } : wanted;
    for (let i = 0; i < count; i++) {
      const id = this.participants.length + 1;
      const start = first ?? { index: 0, term: 0, confState: noMembers, data: "" };
      this.participants.push(new Participant({ ...config, id }, start));
      this.participant(id).check();
    }
  }

  processReady(id: number): void {
    const participant = this.participant(id);
    const { node, config } = participant;
    const ready = node.ready();
    this.print(describeReady(ready, formatEntry));
    if (config.asyncStorageWrites === false) this.#writeAndApply(participant, ready);
    for (const message of ready.messages) {
      if (message.to === appendThread) participant.appendWork.push(message);
      else if (isStorageThread(message.to)) participant.applyWork.push(message);
      else this.messages.push(message);
    }
    if (config.asyncStorageWrites === false) node.advance();
    participant.check();
  }

  #writeAndApply(participant: Participant, ready: Ready<string>): void {
    participant.append(ready);
    participant.apply(ready.committedEntries);
  }

  /** One message of the append thread, then of the apply thread, of a participant. */
  processThread(id: number, thread: "append" | "apply"): void {
    const participant = this.participant(id);
    const queue = thread === "append" ? participant.appendWork : participant.applyWork;
    const message = queue.shift();
    if (message === undefined) {
      this.print(`no ${thread} work to perform`);
      return;
    }
    this.print(`Processing:\n${describeMessage({ ...message, responses: [] }, formatEntry)}\n`);
    if (thread === "append") {
      participant.append({
        hardState: hardStateOf(message),
        snapshot: message.snapshot,
        entries: message.entries,
      });
    } else {
      participant.apply(message.entries);
    }
    this.print("Responses:\n");
    for (const each of message.responses) this.print(`${describeMessage(each, formatEntry)}\n`);
    this.messages.push(...message.responses);
    participant.check();
  }

  /** Delivers or drops what is in flight to `to`; returns how many there were. */
  deliver(to: number, options: { readonly type?: string; readonly drop?: boolean } = {}): number {
    const taken = this.messages.filter((message) => this.#matches(message, to, options));
    this.messages = this.messages.filter((message) => !taken.includes(message));
    for (const message of taken) {
      const text = describeMessage(message, formatEntry);
      this.print(`${options.drop === true ? "dropped: " : ""}${text}\n`);
      if (options.drop === true) continue;
      const participant = this.participant(to);
      const result = participant.node.step(message);
      if (result !== "ok") this.print(`${stepErrors[result]}\n`);
      participant.check();
    }
    return taken.length;
  }

  #matches(
    message: Message<string>,
    to: number,
    options: { readonly type?: string; readonly drop?: boolean },
  ): boolean {
    const local = message.from === message.to || isStorageThread(message.from);
    if (message.to !== to || (options.drop === true && local)) return false;
    return options.type === undefined || message.type === options.type;
  }

  stabilize(ids: readonly number[]): void {
    while (this.#round(ids)) {
      // until nothing is left to do
    }
  }

  #round(ids: readonly number[]): boolean {
    let busy = false;
    const section = (title: string, run: () => void) => {
      busy = true;
      this.print(`> ${title}\n`);
      this.#indented(run);
    };
    for (const id of ids) {
      if (this.participant(id).node.hasReady()) {
        section(`${id} handling Ready`, () => this.processReady(id));
      }
    }
    for (const id of ids) {
      if (this.messages.some((message) => message.to === id)) {
        section(`${id} receiving messages`, () => this.deliver(id));
      }
    }
    for (const thread of ["append", "apply"] as const) {
      for (const id of ids) {
        const { appendWork, applyWork } = this.participant(id);
        const queue = thread === "append" ? appendWork : applyWork;
        if (queue.length === 0) continue;
        section(`${id} processing ${thread} thread`, () => {
          while (queue.length > 0) this.processThread(id, thread);
        });
      }
    }
    return busy;
  }

  /** Runs the same for each id, with a title when there are several. */
  forEach(ids: readonly number[], title: string, run: (id: number) => void): void {
    for (const id of ids) {
      if (ids.length === 1) {
        run(id);
        continue;
      }
      this.print(`> ${id} ${title}\n`);
      this.#indented(() => run(id));
    }
  }
}
