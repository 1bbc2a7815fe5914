// Who may call whom, in the form that the proxy runs: names resolved, groups unfolded, tiers as ranks.
// Made by policy/compile.ts, judged by policy/evaluate.ts, carried in snapshots. Plain JSON.
import type { Place } from '../base/place.ts';

/** Which callers a rule speaks of. `any` also means callers without identity. */
export type Who =
  | { readonly kind: 'any' }
  | { readonly kind: 'mesh' }
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'workload'; readonly namespace: string; readonly service: string }
  | { readonly kind: 'namespace'; readonly namespace: string }
  | { readonly kind: 'trustDomain'; readonly trustDomain: string }
  | { readonly kind: 'tier'; readonly compare: '=' | '<' | '>='; readonly rank: number };

/** What a rule allows or denies. Ports are numbers or names; undefined is every port. */
export type Operation =
  | { readonly kind: 'any'; readonly port?: string }
  | { readonly kind: 'tcp'; readonly port?: string }
  /** `methods` undefined is every method. `path` is normalised; `*` is one segment, a last `**` the rest. */
  | { readonly kind: 'http'; readonly methods?: readonly string[]; readonly path: string; readonly port?: string };

export interface Rule {
  /** The canonical one-line text. */
  readonly id: string;
  readonly place: Place;
  readonly from: readonly Who[];
  readonly to: readonly Who[];
  readonly operations: readonly Operation[];
}

/** A service entry: `namespace` and `service` may be `*`; the more exact entry wins. */
export interface PolicyService {
  readonly name: string;
  readonly namespace: string;
  readonly service: string;
  readonly rank: number;
  readonly bridge: boolean;
}

export interface CompiledPolicy {
  readonly revision: number;
  /** Set when the text could not be compiled: everything is refused, with this reason. */
  readonly unreadable?: string;
  readonly trustDomain: string;
  readonly default: 'deny' | 'audit';
  /** Least trusted first; `accepts` is the lowest rank that the tier takes requests from. Empty: no floors. */
  readonly tiers: readonly { readonly name: string; readonly accepts: number }[];
  readonly services: readonly PolicyService[];
  readonly allow: readonly Rule[];
  readonly deny: readonly Rule[];
}
