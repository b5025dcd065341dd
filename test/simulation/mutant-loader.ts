// Preloaded into a victim's process: plants the mutant named by MUTANT while its file is loaded.
//
// Promise: the tree on disk is not touched; a mutant whose text is not found exactly once ends the process. Left to
// others: which (mutant-list.ts), what the victim does (mutant-victim.ts).

import { plugin } from "bun";

import { mutants } from "./mutant-list.ts";

const root = new URL("../../", import.meta.url).pathname;
const id = process.env["MUTANT"];
const mutant = mutants.find((one) => one.id === id);

if (id !== undefined && mutant === undefined) throw new Error(`No mutant is called ${id}`);

if (mutant !== undefined) {
  const path = root + mutant.file;
  plugin({
    name: "mutant",
    setup(build) {
      build.onLoad({ filter: new RegExp(`${RegExp.escape(path)}$`) }, async () => {
        const text = await Bun.file(path).text();
        const parts = text.split(mutant.find);
        if (parts.length !== 2) throw new Error(`"${mutant.id}" fits ${parts.length - 1} places`);
        return { contents: parts.join(mutant.replace), loader: "ts" };
      });
    },
  });
}
