// The version of this build, as /v1 answers, logs and `rivulet --version` tell it.

import manifest from "../package.json" with { type: "json" };

export const version: string = manifest.version;
