// What can be mended without a decision, mended: findings that carry an edit × their files.
import type { Finding } from '../base/finding.ts';
import type { PolicyText } from './document.ts';

/** The files that change, and how many edits were made. An edit whose text does not stand at its place is left out. */
export function editFiles(files: readonly PolicyText[], findings: readonly Finding[]): { files: PolicyText[]; count: number } {
  let count = 0;
  const changed = files.flatMap(({ file, text }): PolicyText[] => {
    const lines = text.split('\n');
    const own = findings.filter((finding) => finding.edit !== undefined && finding.place?.file === file);
    // From the end, so that places before stay where they are.
    const sorted = [...own].sort((a, b) => (b.place?.line ?? 0) - (a.place?.line ?? 0) || (b.place?.column ?? 0) - (a.place?.column ?? 0));
    const done = new Set<string>();
    for (const { place, edit } of sorted) {
      if (place === undefined || edit === undefined || done.has(`${place.line}:${place.column}`)) continue;
      const line = lines[place.line - 1] ?? '';
      // The place is the quote's, where there is one.
      const at = place.column - 1 + (/["']/.test(line.charAt(place.column - 1)) ? 1 : 0);
      if (!line.startsWith(edit[0], at)) continue;
      lines[place.line - 1] = line.slice(0, at) + edit[1] + line.slice(at + edit[0].length);
      done.add(`${place.line}:${place.column}`);
      count++;
    }
    const result = lines.join('\n');
    return result === text ? [] : [{ file, text: result }];
  });
  return { files: changed, count };
}
