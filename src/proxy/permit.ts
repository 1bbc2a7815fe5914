// The only value from which an upstream request can be made. Without a permit there is no endpoint (upstream/pick.ts),
// and only authorize() makes permits.
import type { SpiffeId } from '../mesh/identity.ts';
import type { Protocol, Upstream } from '../mesh/snapshot.ts';
import { type Decision, evaluate } from '../policy/evaluate.ts';
import type { Tables } from './tables.ts';

declare const permitted: unique symbol;

export type Target =
  | { readonly kind: 'app'; readonly host: string; readonly port: number; readonly protocol: Protocol }
  | { readonly kind: 'service'; readonly upstream: Upstream };

export interface Permit {
  readonly [permitted]: true;
  readonly target: Target;
}

export interface AttemptFacts {
  readonly caller: SpiffeId | undefined;
  readonly port: { readonly name: string; readonly number: number };
  readonly http: { readonly method: string; readonly path: string } | undefined;
}

/** Towards the own application, or in through the ingress: the policy decides. */
export function authorize(tables: Tables, facts: AttemptFacts, target: Target): { decision: Decision; permit: Permit | undefined } {
  const decision = evaluate(tables.policy, { ...facts, callee: tables.self });
  return { decision, permit: decision.verdict === 'allowed' ? ({ target } as Permit) : undefined };
}

/** From the own application outwards: the callee's proxy decides, by the identity that this proxy proves to it. */
export function permitOutbound(upstream: Upstream): Permit {
  return { target: { kind: 'service', upstream } } as Permit;
}
