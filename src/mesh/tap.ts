// Live requests as they end: what is asked for, and what is shown of each. Filters run in the proxies.

export interface TapFilter {
  /** Of the proxy that saw it arrive. */
  readonly service?: string;
  /** Service of the caller; `outside` for the ingress's. */
  readonly from?: string;
  readonly method?: string;
  /** As in a policy: `/orders/*`, `/static/**`. */
  readonly path?: string;
  /** `5xx`, `404`. */
  readonly status?: string;
  readonly minDurationMs?: number;
  /** Only what policy denied. */
  readonly denied?: boolean;
  /** Request fields to show, in lower case. */
  readonly headers?: readonly string[];
}

export interface TapEvent {
  /** When it ended, epoch milliseconds. */
  readonly atMs: number;
  readonly service: string;
  readonly instance: string;
  /** Null for callers without an identity. */
  readonly from: string | null;
  readonly fromId: string | null;
  readonly protocol: 'http' | 'tcp';
  readonly method: string | null;
  /** Without query. */
  readonly path: string | null;
  readonly status: number | null;
  readonly refusal: string | null;
  readonly verdict: string | null;
  readonly rule: string | null;
  readonly rulePlace: string | null;
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly requestId: string | null;
  readonly traceId: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Values of such a field are never shown, whatever is asked for: names that carry credentials, by a word in them. */
export function isSecretField(name: string): boolean {
  return /auth|cookie|token|secret|passw|api-?key|credential|session|signature|jwt|assertion|client-cert/.test(name);
}
