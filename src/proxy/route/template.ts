// Paths → route templates, so that a route is a label of few values: what looks like an id becomes `{id}`. Bounded: a service whose paths
// look like nothing has one route, `{path}`, for what is over the limit.

/** Different templates of one proxy. */
export const MAX_ROUTES = 100;
/** Paths whose template is remembered: most requests ask for few. */
const MAX_REMEMBERED = 2000;
const OTHER = '{path}';
const MAX_SEGMENTS = 8;

export class Routes {
  readonly #remembered = new Map<string, string>();
  readonly #templates = new Set<string>();

  /** `GET /orders/{id}` for a method and a normalised path. */
  of(method: string, path: string): string {
    const key = `${method} ${path}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    let route = `${METHODS.has(method) ? method : '_OTHER'} ${templateOf(path)}`;
    if (!this.#templates.has(route)) {
      if (this.#templates.size >= MAX_ROUTES) route = OTHER;
      else this.#templates.add(route);
    }
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(key, route);
    return route;
  }
}

/** Those that OpenTelemetry names (RFC 9110 and RFC 5789). */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']);

/** Numbers, UUIDs, long hex, whatever has many digits or is long: ids. A file's ending stays a word. */
export function templateOf(path: string): string {
  const segments = path.split('/');
  if (segments.length > MAX_SEGMENTS + 1) segments.splice(MAX_SEGMENTS, Number.POSITIVE_INFINITY, '**');
  return segments.map((segment) => (isId(segment) ? '{id}' : segment)).join('/');
}

const HEX = /^[0-9a-f-]{8,}$/i;

function isId(segment: string): boolean {
  if (segment === '' || segment === '**') return false;
  let digits = 0;
  for (let i = 0; i < segment.length; i++) {
    const code = segment.charCodeAt(i);
    if (code >= 0x30 && code <= 0x39) digits++;
  }
  // `v1`, `oauth2`, `2024-report` are words; `123`, `ord-48213`, `9f3c…` are not.
  if (digits === 0) return segment.length > 40;
  return digits === segment.length || digits >= 4 || (digits >= 2 && HEX.test(segment)) || segment.length > 40;
}
