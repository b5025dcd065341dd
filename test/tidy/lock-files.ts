// package-lock.json and bun.lock as sets of packages, and how they differ.
//
// Where a package lies is each installer's own choice (how it hoists); which packages there are, in which versions, is not.

/** "name@version" of each package, direct and transitive. */
export type Locked = ReadonlySet<string>;

export function npmLocked(text: string): Locked {
  const { packages } = JSON.parse(text) as { packages: Record<string, { version?: string }> };
  const entries = Object.entries(packages).filter(([path]) => path !== "");
  return new Set(
    entries.map(([path, { version = "" }]) => `${path.split("node_modules/").at(-1)}@${version}`),
  );
}

/** bun.lock is JSON with trailing commas. */
export function bunLocked(text: string): Locked {
  const { packages } = JSON.parse(text.replaceAll(/,(\s*[}\]])/g, "$1")) as {
    packages: Record<string, readonly [string, ...unknown[]]>;
  };
  return new Set(Object.values(packages).map(([resolved]) => resolved));
}

/** Packages that only one of the two knows. */
export function lockDifferences(npm: Locked, bun: Locked): string[] {
  const only = (one: Locked, other: Locked, where: string): string[] =>
    [...one].filter((name) => !other.has(name)).map((name) => `${name} is only in ${where}`);
  return [...only(npm, bun, "package-lock.json"), ...only(bun, npm, "bun.lock")];
}

/** Dependencies that package.json does not pin to one version. */
export function unpinned(manifest: {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}): string[] {
  const all = { ...manifest.dependencies, ...manifest.devDependencies };
  return Object.entries(all)
    .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    .map(([name, version]) => `${name} is not pinned: ${version}`);
}
