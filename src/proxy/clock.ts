// Wall-clock milliseconds with fractions, from the monotonic clock: durations never jump.

export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
