// A node as src/main.ts starts it, but whose journal files are full at 1 MB: so a few MB already leave sealed files.

import { limits } from "../../src/limits.ts";

Object.assign(limits, { fileBytesMax: 1_048_576 });
await import("../../src/main.ts");
