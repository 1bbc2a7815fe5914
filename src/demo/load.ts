// A gentle, bounded load on the demo's ingress: a fixed rate, few requests at once. It ends when whoever started it ends.
const MAX_IN_FLIGHT = 20;
const PATHS = ['/', '/checkout', '/checkout', '/product/17', '/checkout', '/', '/product/3', '/checkout'];

export function runLoad(ingress: string, requestsPerSecond: number): void {
  let inFlight = 0;
  let next = 0;
  // The pipe on stdin closes when the demo goes, however it goes.
  process.stdin.resume();
  process.stdin.once('end', () => process.exit(0));
  process.stdin.once('error', () => process.exit(0));
  setInterval(() => {
    if (inFlight >= MAX_IN_FLIGHT) return;
    inFlight++;
    fetch(`${ingress}${PATHS[next++ % PATHS.length]}`)
      .then((response) => response.arrayBuffer())
      .catch(() => undefined)
      .finally(() => {
        inFlight--;
      });
  }, 1000 / requestsPerSecond);
}
