// Time in the proxy: the moment with fractions, and something to do at a moment.

const ORIGIN_MS = performance.timeOrigin;

/** Wall-clock milliseconds with fractions, from the monotonic clock: durations never jump. */
export function nowMs(): number {
  return ORIGIN_MS + performance.now();
}

// setTimeout counts in 31 bits: 24.8 days.
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Runs `run` once at an epoch millisecond, however far off; at once when it has passed, never for Infinity. The result cancels it. */
export function callAt(atMs: number, run: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const arm = (): void => {
    const left = Math.max(0, atMs - Date.now());
    timer = setTimeout(left > MAX_TIMER_MS ? arm : run, Math.min(MAX_TIMER_MS, left));
  };
  if (Number.isFinite(atMs)) arm();
  return () => clearTimeout(timer);
}
