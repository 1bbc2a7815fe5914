// Paths as Istio's proxies see them (`meshConfig.pathNormalization`), and the templates that its policies match them with.
// Source: istio.io, Security / Normalization; Envoy's path canonicalization and its URI template matcher.
import { quotePattern } from '../../../base/pattern.ts';

export type Normalization = 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

const UNRESERVED = /[A-Za-z0-9\-._~]/;

/** The path without query and fragment in the form that rules are matched with, or 400. */
export function normalizeIstioPath(target: string, mode: Normalization): { path: string } | { status: 400 } {
  const end = target.search(/[?#]/);
  let path = end < 0 ? target : target.slice(0, end);
  if (/%00/.test(path) || path.includes('\0')) return { status: 400 };
  if (mode === 'NONE') return { path };
  if (mode === 'DECODE_AND_MERGE_SLASHES') path = path.replace(/%2f/gi, '/').replace(/%5c/gi, '\\');
  path = path.replaceAll('\\', '/').replace(/%([0-9A-Fa-f]{2})/g, (all, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return UNRESERVED.test(character) ? character : all;
  });
  path = removeDots(path);
  return { path: mode === 'BASE' ? path : path.replace(/\/{2,}/g, '/') };
}

// RFC 3986 section 5.2.4: empty segments count as segments.
function removeDots(path: string): string {
  const result: string[] = [];
  const segments = path.split('/').slice(1);
  segments.forEach((segment, i) => {
    const last = i === segments.length - 1;
    if (segment === '.' || segment === '..') {
      if (segment === '..') result.pop();
      if (last) result.push('');
    } else result.push(segment);
  });
  return `/${result.join('/')}`;
}

export function isTemplate(pattern: string): boolean {
  return pattern.includes('{*}') || pattern.includes('{**}');
}

/** `{*}` is one segment that is not empty, `{**}` zero or more of anything. */
export function matchTemplate(template: string, path: string): boolean {
  const source = template
    .split(/(\{\*\*\}|\{\*\})/)
    .map((part) => (part === '{*}' ? '[^/]+' : part === '{**}' ? '.*' : quotePattern(part)))
    .join('');
  return new RegExp(`^${source}$`, 's').test(path);
}

/** Exact, `prefix*`, `*suffix`, or `*` for anything that is there and not empty. */
export function matchString(pattern: string, value: string | undefined): boolean {
  if (value === undefined) return false;
  if (pattern === '*') return value !== '';
  if (pattern.endsWith('*')) return value.startsWith(pattern.slice(0, -1));
  if (pattern.startsWith('*')) return value.endsWith(pattern.slice(1));
  return value === pattern;
}
