// Buckets → quantiles. The estimate lies within the bucket that holds the quantile; linear between its bounds.
import { BUCKET_BOUNDS_MS } from './metrics.ts';

/** The q-quantile (0 to 1) in milliseconds; null without data. Beyond the last bound the last bound is given. */
export function quantile(buckets: readonly number[], q: number): number | null {
  let total = 0;
  // Holes are zeros.
  for (const count of buckets) total += count ?? 0;
  if (total === 0) return null;
  const rank = q * total;
  let seen = 0;
  for (let i = 0; i < buckets.length; i++) {
    const count = buckets[i] ?? 0;
    if (count === 0 || seen + count < rank) {
      seen += count;
      continue;
    }
    const lower = i === 0 ? 0 : (BUCKET_BOUNDS_MS[i - 1] ?? 0);
    const upper = BUCKET_BOUNDS_MS[i] ?? lower;
    return Math.round((lower + (upper - lower) * ((rank - seen) / count)) * 100) / 100;
  }
  return BUCKET_BOUNDS_MS.at(-1) ?? null;
}

export function addBuckets(into: number[], from: readonly number[]): void {
  for (let i = 0; i < from.length; i++) into[i] = (into[i] ?? 0) + (from[i] ?? 0);
}
