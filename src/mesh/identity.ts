// Who a workload is: a SPIFFE id of the form spiffe://<trust domain>/ns/<namespace>/sa/<service>.
//
// INVARIANT: no other file splits or joins such a string. Comparison is bytewise on the printed form.
// Source: SPIFFE-ID.md sections 2.1 to 2.4 (lower-case trust domain, no percent sign, no empty or dot segments).

export interface SpiffeId {
  readonly trustDomain: string;
  /** Whole path with its leading slash. */
  readonly path: string;
  /** The two parts of /ns/<namespace>/sa/<service>; undefined for a foreign path shape. */
  readonly namespace: string | undefined;
  readonly service: string | undefined;
}

const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
const SEGMENT = /^[A-Za-z0-9._-]+$/;
// SPIFFE-ID.md section 2.3: longer ids should not be made; nobody needs them.
const MAX_ID_BYTES = 2048;

/** A service or namespace name: what DNS allows in one label (RFC 1123 section 2.1), so that it fits everywhere. */
export const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The service that stands for traffic from outside; it is always there and needs no entry in the mesh file. */
export const INGRESS = 'ingress';

export function isTrustDomain(text: string): boolean {
  return TRUST_DOMAIN.test(text);
}

/** The id, or undefined when the text is none: wrong scheme or case, no path, `..`, percent signs, query, port. */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > MAX_ID_BYTES || !text.startsWith('spiffe://')) return undefined;
  const slash = text.indexOf('/', 9);
  if (slash < 0) return undefined;
  const trustDomain = text.slice(9, slash);
  const path = text.slice(slash);
  if (!TRUST_DOMAIN.test(trustDomain)) return undefined;
  const segments = path.slice(1).split('/');
  if (segments.some((segment) => !SEGMENT.test(segment) || segment === '.' || segment === '..')) return undefined;
  const [ns, namespace, sa, service] = segments;
  const ours = segments.length === 4 && ns === 'ns' && sa === 'sa';
  return { trustDomain, path, namespace: ours ? namespace : undefined, service: ours ? service : undefined };
}

export function makeSpiffeId(trustDomain: string, namespace: string, service: string): SpiffeId {
  return { trustDomain, path: `/ns/${namespace}/sa/${service}`, namespace, service };
}

export function printSpiffeId(id: SpiffeId): string {
  return `spiffe://${id.trustDomain}${id.path}`;
}

/** `spiffe://<trust domain>`: what stands in a CA certificate (SPIFFE X509-SVID.md section 4.2). */
export function printTrustDomain(trustDomain: string): string {
  return `spiffe://${trustDomain}`;
}
