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
  | {
      readonly kind: 'http';
      /** Undefined is every method. */
      readonly methods?: readonly string[];
      /** Normalised; `*` is one segment, a last `**` the rest. With `isPrefix` the beginning of what fits, letter by letter. */
      readonly path: string;
      readonly isPrefix?: true;
      readonly port?: string;
      /** Only calls of gRPC: POST with its content type. */
      readonly grpc?: true;
      /** Fields that must each be there just once, with this value; names in lower case. */
      readonly headers?: readonly { readonly name: string; readonly value: string }[];
    };

export interface Rule {
  /** The name that it was given, else the canonical one-line text. */
  readonly id: string;
  readonly place: Place;
  readonly from: readonly Who[];
  readonly to: readonly Who[];
  readonly operations: readonly Operation[];
  /** Epoch milliseconds from which on it counts no more. */
  readonly untilMs?: number;
  /** What only this rule allows is allowed and reported. */
  readonly audit?: true;
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
  /** Tier floors and `deny` only report; identity still decides. */
  readonly auditsAll?: true;
  /** Least trusted first; `accepts` is the lowest rank that the tier takes requests from. Empty: no floors. */
  readonly tiers: readonly { readonly name: string; readonly accepts: number }[];
  readonly services: readonly PolicyService[];
  readonly allow: readonly Rule[];
  readonly deny: readonly Rule[];
}
