// One form of a path for routing, policy and the service: refuse what is ambiguous, then normalise.
// The same form is matched, forwarded and recorded. Source: RFC 3986 sections 2.3, 5.2.4 and 6.2.2.

const UNRESERVED = /[A-Za-z0-9\-._~]/;

/** Path and query, or why the request target is refused. */
export type NormalPath = { readonly path: string; readonly query: string } | { readonly refused: string };

/**
 * Normalises the path of an origin-form target (`/a/../b?x=1`).
 * Refused: bad or truncated `%XX`, `%00`, `%2f`, `%5c`, `\`, `#`, bytes below 0x21 and above 0x7e.
 * Then: unreserved characters decoded once, other escapes in upper case, dot segments removed, slashes merged; the query is not touched.
 * `keepsEncodedSlash`: `%2F` is a letter within its segment (registries, object stores), unless what stands beside it would be a dot segment
 * to whoever decodes it.
 */
export function normalizePath(target: string, keepsEncodedSlash = false): NormalPath {
  if (target.charCodeAt(0) !== 0x2f) return { refused: 'the path does not start with `/`' };
  const mark = target.indexOf('?');
  const raw = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? '' : target.slice(mark);
  let plain = true;
  for (let i = 0; i < target.length; i++) {
    const c = target.charCodeAt(i);
    if (c < 0x21 || c > 0x7e) return { refused: 'a control character, a blank or a byte above 0x7e in the target' };
    if (c === 0x23) return { refused: 'a `#` in the target' };
    if (i >= raw.length) continue;
    if (c === 0x5c) return { refused: 'a `\\` in the path' };
    if (c === 0x25 || c === 0x2e || (c === 0x2f && target.charCodeAt(i + 1) === 0x2f)) plain = false;
  }
  if (plain) return { path: raw, query };
  const decoded = decodeOnce(raw, keepsEncodedSlash);
  if (decoded === undefined) return { refused: 'a bad or forbidden escape (`%00`, `%2f`, `%5c`) in the path' };
  return { path: removeDots(decoded), query };
}

function decodeOnce(path: string, keepsEncodedSlash: boolean): string | undefined {
  let result = '';
  for (let i = 0; i < path.length; i++) {
    const c = path.charAt(i);
    if (c !== '%') {
      result += c;
      continue;
    }
    const hex = path.slice(i + 1, i + 3);
    if (!/^[0-9A-Fa-f]{2}$/.test(hex)) return undefined;
    const code = Number.parseInt(hex, 16);
    if (code === 0 || code === 0x5c || (code === 0x2f && !keepsEncodedSlash)) return undefined;
    const character = String.fromCharCode(code);
    result += UNRESERVED.test(character) ? character : `%${hex.toUpperCase()}`;
    i += 2;
  }
  return hasHiddenDots(result) ? undefined : result;
}

/** `/a/..%2Fb`: a dot segment once somebody decodes the slash. */
function hasHiddenDots(path: string): boolean {
  return path.includes('%2F') && /(?:^|\/|%2F)\.\.?(?=%2F)|%2F\.\.?(?=\/|$)/.test(path);
}

function removeDots(path: string): string {
  const result: string[] = [];
  const segments = path.split('/');
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i] ?? '';
    const last = i === segments.length - 1;
    if (segment === '.' || segment === '..') {
      if (segment === '..') result.pop();
      if (last) result.push('');
    } else if (segment !== '' || last) result.push(segment);
  }
  return `/${result.join('/')}`;
}

/** Whether a normalised path fits a pattern: `*` is one segment that is not empty, a last `**` is the rest (`/a/**` also fits `/a` and `/a/`). */
export function matchPath(pattern: string, path: string): boolean {
  if (!pattern.includes('*')) return pattern === path;
  const wanted = pattern.split('/');
  const given = path.split('/');
  const rest = wanted[wanted.length - 1] === '**';
  const fixed = rest ? wanted.length - 1 : wanted.length;
  if (rest ? given.length < fixed : given.length !== fixed) return false;
  for (let i = 1; i < fixed; i++) {
    if (wanted[i] === '*' ? given[i] === '' : wanted[i] !== given[i]) return false;
  }
  return true;
}
