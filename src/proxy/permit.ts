// The only value from which an upstream request can be made. Without a permit there is no endpoint (upstream/pick.ts),
// and only authorize() makes permits.
import type { Protocol, Upstream } from '../mesh/snapshot.ts';
import { type Attempt, type Enforced, enforce } from '../policy/evaluate.ts';
import type { Tables } from './tables.ts';

declare const permitted: unique symbol;

export type Target =
  | { readonly kind: 'app'; readonly host: string; readonly port: number; readonly protocol: Protocol }
  | { readonly kind: 'service'; readonly upstream: Upstream };

export interface Permit {
  readonly [permitted]: true;
  readonly target: Target;
}

/** What is asked; the callee is always this proxy's own service. */
export type AttemptFacts = Omit<Attempt, 'callee'>;

/** Towards the own application, or in through the ingress: the policy decides. */
export function authorize(tables: Tables, facts: AttemptFacts, target: Target): { decision: Enforced; permit: Permit | undefined } {
  const decision = enforce(tables.policy, { ...facts, callee: tables.self });
  return { decision, permit: decision.verdict === 'allowed' ? ({ target } as Permit) : undefined };
}

/** From the own application outwards: the callee's proxy decides, by the identity that this proxy proves to it. */
export function permitOutbound(upstream: Upstream): Permit {
  return { target: { kind: 'service', upstream } } as Permit;
}
