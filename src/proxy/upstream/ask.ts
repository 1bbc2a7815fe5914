// One request of the proxy's own (a mirrored copy, a health check): only how it ended matters.
import type { Refusal } from '../../mesh/refusal.ts';
import type { UpstreamConnection, UpstreamRequest, UpstreamStream } from './stream.ts';

/** Sends the request with its whole body and reads the answer away. Gives its status, or why there was none within the limit. */
export function ask(
  connection: UpstreamConnection,
  request: UpstreamRequest,
  body: readonly Buffer[],
  limitMs: number,
): Promise<{ readonly status: number } | { readonly refusal: Refusal }> {
  return new Promise((resolve) => {
    let stream: UpstreamStream | undefined;
    let status = 0;
    const timer = setTimeout(() => {
      stream?.abort();
      resolve({ refusal: 'timeout' });
    }, limitMs);
    stream = connection.open(request, {
      onInterim: () => undefined,
      onHead: (head) => {
        status = head.status;
      },
      onUpgrade: (_head, channel) => channel.reset('canceled'),
      onData: () => undefined,
      onEnd: () => {
        clearTimeout(timer);
        resolve({ status });
      },
      onFault: (refusal) => {
        clearTimeout(timer);
        resolve({ refusal });
      },
      onDrain: () => undefined,
    });
    for (const bytes of body) stream.write(bytes);
    stream.end([]);
  });
}
