// The nearest known name to a misspelt one, for messages.

/** The candidate with the fewest edits from `name`, or null when none is near (over a third of it would change).
 *  Cost: candidates x length^2; for refusals only, never on the hot path. Input beyond 100 characters has no neighbour. */
export function nearestName(name: string, candidates: Iterable<string>): string | null {
  if (name.length > 100) return null;
  let best: string | null = null;
  let bestEdits = Math.floor(Math.max(name.length, 3) / 3) + 1;
  for (const candidate of candidates) {
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < bestEdits) [best, bestEdits] = [candidate, edits];
  }
  return best;
}

/** Edits from one to the other; two swapped neighbours are one (optimal string alignment), three rows at a time. */
function editDistance(a: string, b: string): number {
  let before: readonly number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? before[j - 2] + 1 : Number.POSITIVE_INFINITY;
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, change, swap));
    }
    [before, row] = [row, next];
  }
  return row[b.length];
}
