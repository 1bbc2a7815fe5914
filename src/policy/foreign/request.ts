// One request as other meshes' policies ask about it, and the answer: what their fields speak of, named as they name it.

/** `maybe`: it depends on something that was not said. */
export type Match = 'yes' | 'no' | 'maybe';

export interface ForeignRequest {
  readonly source: {
    /** `spiffe://…`, or Linkerd's DNS-like name; undefined without mTLS. */
    readonly identity: string | undefined;
    readonly namespace: string | undefined;
    readonly serviceAccount: string | undefined;
    readonly ip: string | undefined;
    /** Of its pod; undefined where they are not known. */
    readonly labels?: Readonly<Record<string, string>> | undefined;
  };
  readonly destination: {
    readonly workload: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    /** `b` or `b.ns.svc.…`; undefined where no Service leads to it. */
    readonly service: string | undefined;
    readonly ip: string | undefined;
    /** The workload's port. */
    readonly port: number;
    readonly portName: string | undefined;
    /** Who judges: a sidecar (or a gateway), ztunnel, or a waypoint. */
    readonly enforcement: 'sidecar' | 'ztunnel' | 'waypoint';
  };
  /** Undefined for TCP. `path` as the client sent it, query included. */
  readonly http:
    | { readonly method: string; readonly path: string; readonly host: string; readonly headers: Readonly<Record<string, string>> }
    | undefined;
  readonly sni: string | undefined;
  /** The client's address behind trusted proxies; the source's own where it is not said. */
  readonly remoteIp: string | undefined;
  /** What external authorizers say, by provider name. */
  readonly authorizers: Readonly<Record<string, 'allow' | 'deny'>>;
  /** The token that came with it, null for none; undefined where it is not known. */
  readonly token?: Token | null | undefined;
}

/** A JSON Web Token, as whoever verifies it finds it. */
export interface Token {
  /** Signature and time are good. */
  readonly isValid: boolean;
  readonly claims: Readonly<Record<string, unknown>>;
  /** Where it came; `header: authorization` with `prefix: 'Bearer '` when nothing is said. */
  readonly at?: { readonly header?: string; readonly prefix?: string; readonly param?: string; readonly cookie?: string };
}

export interface ForeignDecision {
  readonly decision: 'allow' | 'deny' | 'unknown';
  /** Kind and name of what decided, or a sentence. */
  readonly by: string;
  /** What policies that only watch would have said. */
  readonly dryRun: { readonly allow?: 'allow' | 'deny'; readonly deny?: 'allow' | 'deny' };
}

export function toMatch(matches: boolean): Match {
  return matches ? 'yes' : 'no';
}

export function any(matches: readonly Match[]): Match {
  return matches.includes('yes') ? 'yes' : matches.includes('maybe') ? 'maybe' : 'no';
}

export function all(matches: readonly Match[]): Match {
  return matches.includes('no') ? 'no' : matches.includes('maybe') ? 'maybe' : 'yes';
}

export function not(match: Match): Match {
  return match === 'yes' ? 'no' : match === 'no' ? 'yes' : 'maybe';
}
