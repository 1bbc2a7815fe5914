// Versions of a mesh, and which of them hold a mend.

/** Whether `version` comes before the mend of its own minor line; lines older than every named one never got it. An unknown version has it. */
export function isBefore(version: string | undefined, mends: Readonly<Record<string, string>>): boolean {
  const own = partsOf(version);
  if (own === undefined) return false;
  const line = `${own[0]}.${own[1]}`;
  const mend = partsOf(mends[line]);
  if (mend !== undefined) return own[2] < mend[2];
  return Object.keys(mends).every((each) => {
    const [major = 0, minor = 0] = each.split('.').map(Number);
    return own[0] < major || (own[0] === major && own[1] < minor);
  });
}

export function isVersion(text: string): boolean {
  return partsOf(text) !== undefined;
}

function partsOf(version: string | undefined): [number, number, number] | undefined {
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?$/.exec(version ?? '');
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}
