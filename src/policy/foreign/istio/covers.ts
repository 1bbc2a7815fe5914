// Which rules make others needless: whether every request that one rule fits also fits another. May say no where yes were true, never the reverse.
import { contains, isBlock } from '../ip.ts';
import type { Authorization, AuthorizationRule, Field } from '../model.ts';
import { hasLabels } from '../resources.ts';
import { isTemplate, matchTemplate } from './path.ts';

/** Whether every value that `inner` fits also fits `outer`: exact, `prefix*`, `*suffix`, `*`, path templates. */
export function patternCovers(outer: string, inner: string): boolean {
  if (outer === inner || outer === '*') return true;
  if (isTemplate(outer)) return !inner.includes('*') && matchTemplate(outer, inner);
  const start = inner.replace(/(?:\{\*|\*).*$/s, '');
  if (outer.endsWith('*')) return (isTemplate(inner) || !inner.startsWith('*')) && start.startsWith(outer.slice(0, -1));
  if (outer.startsWith('*')) return !inner.endsWith('*') && !isTemplate(inner) && inner.endsWith(outer.slice(1));
  return false;
}

function valueCovers(name: string, outer: string, inner: string): boolean {
  if (/ipBlocks|IpBlocks|\.ip$/.test(name)) return isBlock(outer) && isBlock(inner) && contains(outer, inner);
  // `*` stands for letters in the middle too, there.
  if (/namespace|serviceAccount/i.test(name)) return outer === inner || outer === '*';
  return name === 'hosts' ? patternCovers(outer.toLowerCase(), inner.toLowerCase()) : patternCovers(outer, inner);
}

function fieldsCover(outer: readonly Field[], inner: readonly Field[]): boolean {
  return outer.every((wanted) =>
    inner.some((given) => {
      if (given.name !== wanted.name || given.isNot !== wanted.isNot) return false;
      const [wide, narrow] = wanted.isNot ? [given.values, wanted.values] : [wanted.values, given.values];
      return narrow.every((value) => wide.some((each) => valueCovers(wanted.name, each, value)));
    }),
  );
}

function clausesCover(outer: readonly (readonly Field[])[] | undefined, inner: readonly (readonly Field[])[] | undefined): boolean {
  if (outer === undefined) return true;
  return inner?.every((clause) => outer.some((each) => fieldsCover(each, clause))) === true;
}

/** Whether each request that `inner` fits also fits `outer`. */
export function ruleCovers(outer: AuthorizationRule, inner: AuthorizationRule): boolean {
  return clausesCover(outer.from, inner.from) && clausesCover(outer.to, inner.to) && fieldsCover(outer.when, inner.when);
}

/** Whether a policy is in force wherever the other is. */
export function scopeCovers(outer: Authorization, inner: Authorization, rootNamespace: string): boolean {
  if (outer.targets.length > 0 || inner.targets.length > 0)
    return outer.resource.namespace === inner.resource.namespace && JSON.stringify(outer.targets) === JSON.stringify(inner.targets);
  const { namespace } = outer.resource;
  return (namespace === rootNamespace || namespace === inner.resource.namespace) && hasLabels(inner.selector, outer.selector);
}

/** A field that fits nothing, because the same source or operation excludes all that it names. */
export function contradiction({ from, to, when }: AuthorizationRule): Field | undefined {
  return [...(from ?? []), ...(to ?? []), when]
    .flatMap((clause) =>
      clause.filter(
        (field) =>
          !field.isNot &&
          clause.some(
            (other) =>
              other.isNot &&
              other.name === field.name &&
              field.values.every((value) => other.values.some((each) => valueCovers(field.name, each, value))),
          ),
      ),
    )
    .at(0);
}
