// A reader: one Worker of the pool that answers reads of any file.

import { FileReader } from "./file-reader.ts";
import { buffersOf } from "./packed-rows.ts";
import type { ReaderVerbs } from "./protocol.ts";
import { serveVerbs, Transferred } from "./worker-port.ts";

let reader = new FileReader("");

serveVerbs<ReaderVerbs>({
  open({ dir }) {
    reader = new FileReader(dir);
    return null;
  },
  read(read) {
    const answer = reader.read(read);
    return new Transferred(answer, buffersOf(answer.rows));
  },
  forget(names) {
    reader.forget(names);
    return null;
  },
});
