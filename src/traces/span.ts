// One span: a CLIENT span for each attempt on the caller's side, a SERVER span for each request on the callee's.
// Field names are ours and short; the OpenTelemetry names stand beside them.

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  readonly requestId: string;
  readonly kind: 'client' | 'server';
  /** `service.name` and `service.instance.id` of the proxy that recorded it. */
  readonly service: string;
  readonly instance: string;
  /** The other end's service name, as far as it is known: the callee of a client span, the caller of a server span. */
  readonly peerService: string | undefined;
  /** Verified SPIFFE id of the other end. */
  readonly peerId: string | undefined;
  readonly protocol: 'http' | 'tcp';
  /** `http.request.method`. */
  readonly method: string | undefined;
  /** `url.path`: normalised, without query. */
  readonly path: string | undefined;
  /** `http.response.status_code`; undefined when none was sent. */
  readonly status: number | undefined;
  /** Epoch milliseconds, fractions kept. */
  readonly startMs: number;
  readonly durationMs: number;
  /** 1 for the first attempt (`http.request.resend_count` + 1). */
  readonly attempt: number;
  /** Why the proxy answered itself (`error.type`). */
  readonly refusal: string | undefined;
  /** Policy verdict on the callee's side, with the rule that gave it. */
  readonly verdict: 'allowed' | 'denied' | undefined;
  readonly rule: string | undefined;
  readonly rulePlace: string | undefined;
  readonly revision: number | undefined;
  /** Set when only audit mode let it pass. */
  readonly audited?: true;
  /** Port of the callee that was asked for (`server.port`), with its name in the mesh; only where a policy judged. */
  readonly port?: { readonly name: string; readonly number: number };
  /** Set for calls of gRPC, by their content type (`rpc.system`). */
  readonly grpc?: true;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** Whether a value that came over the feed has the fields of a span that the store and the views rely on. */
export function isSpan(value: unknown): value is Span {
  if (typeof value !== 'object' || value === null) return false;
  const span = value as Record<string, unknown>;
  return (
    typeof span['traceId'] === 'string' &&
    typeof span['spanId'] === 'string' &&
    typeof span['requestId'] === 'string' &&
    (span['kind'] === 'client' || span['kind'] === 'server') &&
    typeof span['service'] === 'string' &&
    typeof span['instance'] === 'string' &&
    typeof span['startMs'] === 'number' &&
    typeof span['durationMs'] === 'number'
  );
}
