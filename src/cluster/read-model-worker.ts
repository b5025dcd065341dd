// The Worker behind read-model.ts: one message in, one answer out, in order.

import { decodeState } from "./cluster-snapshot.ts";
import type { ReadModelAnswer, ReadModelMessage } from "./read-model.ts";
import { ReadModelStore } from "./read-model-store.ts";

interface WorkerScope {
  postMessage(answer: ReadModelAnswer, transfer: ArrayBuffer[]): void;
  addEventListener(
    type: "message",
    listener: (event: MessageEvent<ReadModelMessage>) => void,
  ): void;
}

const scope = globalThis as unknown as WorkerScope;
let store: ReadModelStore | null = null;

async function handle(message: ReadModelMessage): Promise<void> {
  switch (message.kind) {
    case "fill":
      store ??= ReadModelStore.open(message.path);
      return store.fill(decodeState(message.state));
    case "change":
      return store?.change(message.changes);
    case "close":
      store?.close();
      store = null;
  }
}

// The sender waits for each answer, so that messages never overlap.
scope.addEventListener("message", ({ data }) => {
  handle(data).then(
    () => scope.postMessage({ ok: true }, []),
    (thrown: unknown) => scope.postMessage({ ok: false, detail: String(thrown) }, []),
  );
});
