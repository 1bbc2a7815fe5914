// What Istio makes of a JSON Web Token: RequestAuthentication refuses one that is bad and lets a missing one pass; policies ask for its claims.
// Source: istio.io, RequestAuthentication and Authorization Policy Conditions; pilot/pkg/security/authn and Envoy's JWT filter.
import type { ForeignRequest, Token } from '../request.ts';
import { isMap, mapList, textList } from '../resources.ts';
import { matchString } from './path.ts';

export interface CheckedToken {
  /** Set when the request is refused because of it. */
  readonly refused?: string;
  /** False where nobody said whether a token came. */
  readonly isKnown: boolean;
  /** Of the token that was verified; undefined without one. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  /** Claims that are lists with blanks between, besides `scope` and `permission`. */
  readonly listed: readonly string[];
}

export const NO_TOKEN: CheckedToken = { isKnown: true, claims: undefined, listed: [] };

type Rule = Readonly<Record<string, unknown>>;

/** A request's token × the rules that are in force. Without rules nobody looks at it. */
export function checkAgainst(rules: readonly Rule[], token: ForeignRequest['token']): CheckedToken {
  if (rules.length === 0 || token === null) return NO_TOKEN;
  if (token === undefined) return { ...NO_TOKEN, isKnown: false };
  const looking = rules.filter((rule) => looksAt(rule, token));
  if (looking.length === 0) return NO_TOKEN;
  const issuer = token.claims['iss'];
  // A rule without an issuer takes any, by its keys alone.
  const rule = looking.find((each) => each['issuer'] === issuer || each['issuer'] === undefined || each['issuer'] === '');
  if (rule === undefined) return { ...NO_TOKEN, refused: 'RequestAuthentication: no rule is for the issuer of the token (401)' };
  if (!token.isValid) return { ...NO_TOKEN, refused: 'RequestAuthentication: the token is not valid (401)' };
  const audiences = textList(rule['audiences']) ?? [];
  const own = listOf(token.claims['aud']);
  if (audiences.length > 0 && !audiences.some((each) => own.includes(each)))
    return { ...NO_TOKEN, refused: 'RequestAuthentication: the token is for another audience (403)' };
  return { isKnown: true, claims: token.claims, listed: textList(rule['spaceDelimitedClaims']) ?? [] };
}

/** Where a rule says nothing, `Authorization: Bearer` and the parameter `access_token`. */
function looksAt(rule: Rule, { at = { header: 'authorization', prefix: 'Bearer ' } }: Token): boolean {
  const headers = mapList(rule['fromHeaders']) ?? [];
  const params = textList(rule['fromParams']) ?? [];
  const cookies = textList(rule['fromCookies']) ?? [];
  if (headers.length + params.length + cookies.length === 0)
    return (at.header?.toLowerCase() === 'authorization' && at.prefix === 'Bearer ') || at.param === 'access_token';
  return (
    headers.some(({ name, prefix }) => String(name).toLowerCase() === at.header?.toLowerCase() && (prefix ?? '') === (at.prefix ?? '')) ||
    (at.param !== undefined && params.includes(at.param)) ||
    (at.cookie !== undefined && cookies.includes(at.cookie))
  );
}

/** `<iss>/<sub>`; undefined without a verified token, or where one of the two is missing. */
export function principalOf(claims: CheckedToken['claims']): string | undefined {
  const { iss, sub } = claims ?? {};
  return typeof iss === 'string' && typeof sub === 'string' ? `${iss}/${sub}` : undefined;
}

/** One value of a condition `request.auth.…`: a claim that is a list fits when one of its elements does. */
export function matchClaim(key: string, value: string, { claims, listed }: CheckedToken): boolean {
  if (claims === undefined) return false;
  if (key === 'request.auth.principal') return matchString(value, principalOf(claims));
  if (key === 'request.auth.audiences') return listOf(claims['aud']).some((each) => matchString(value, each));
  if (key === 'request.auth.presenter') return matchString(value, textOf(claims['azp']));
  const path = [...key.matchAll(/\[([^\]]*)\]/g)].map(([, name = '']) => name);
  if (!key.startsWith('request.auth.claims[') || path.length === 0) return false;
  const found = path.reduce<unknown>((inner, name) => (isMap(inner) ? inner[name] : undefined), claims);
  const [first = ''] = path;
  const isSplit = path.length === 1 && typeof found === 'string' && (['scope', 'permission'].includes(first) || listed.includes(first));
  const values = isSplit ? found.split(' ') : listOf(found);
  return values.some((each) => matchString(value, each));
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'boolean' || typeof value === 'number' ? String(value) : undefined;
}

function listOf(value: unknown): string[] {
  const all: unknown[] = Array.isArray(value) ? value : [value];
  return all.flatMap((each) => textOf(each) ?? []);
}
