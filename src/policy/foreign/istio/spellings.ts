// Other ways to write a path that servers often take for the same one, and which of them a pattern misses.
import { isTemplate, matchString, matchTemplate, type Normalization, normalizeIstioPath } from './path.ts';

export function matchPath(pattern: string, path: string): boolean {
  return isTemplate(pattern) ? matchTemplate(pattern, path) : matchString(pattern, path);
}

/** A path that the pattern matches, as people would write it. */
export function examplePath(pattern: string): string {
  const plain = pattern.replaceAll('{*}', 'x').replaceAll('{**}', 'x');
  if (plain.endsWith('*')) return plain === '*' ? '/x' : `${plain.slice(0, -1)}${plain.endsWith('/*') ? 'x' : ''}`;
  return plain.startsWith('*') ? `/x${plain.slice(1)}` : plain;
}

/** Spellings of the pattern's path that no pattern of the list matches once the mesh has normalized them; those that it refuses are left out. */
export function spellingsPast(pattern: string, all: readonly string[], mode: Normalization): string[] {
  const path = examplePath(pattern);
  if (!path.startsWith('/') || path === '/') return [];
  return spellingsOf(path).filter((spelling) => {
    const normal = normalizeIstioPath(spelling, mode);
    return 'path' in normal && !all.some((each) => matchPath(each, normal.path));
  });
}

function spellingsOf(path: string): string[] {
  const first = path.charAt(1);
  const rest = path.slice(2);
  const encoded = `%${first.charCodeAt(0).toString(16)}`;
  const lastSlash = path.lastIndexOf('/');
  return [
    ...new Set([
      `/${path}`,
      path.endsWith('/') ? path.slice(0, -1) : `${path}/`,
      `/.${path}`,
      `/x/..${path}`,
      `/${encoded}${rest}`,
      `/%2f${path.slice(1)}`,
      `/\\${path.slice(1)}`,
      ...(lastSlash > 0 ? [`${path.slice(0, lastSlash)}%2f${path.slice(lastSlash + 1)}`] : []),
      path.toUpperCase(),
      `${path};x`,
      `${path}%2f`,
      `${path}%20`,
    ]),
  ].filter((spelling) => spelling !== path);
}
