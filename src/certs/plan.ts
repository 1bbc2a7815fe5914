// A rotation of the root as a plan: what is done, what comes next, what it waits for, and when the old root may go. Pure.
//
//   trust   the new root is trusted besides the old; the old still signs        can be taken back at once
//   sign    the new intermediates sign; every workload gets a new certificate   can be taken back: everybody trusts both
//   drop    the old root is trusted no more                                     cannot be taken back

export const ROOT_STEPS = ['trust', 'sign', 'drop'] as const;
export type RootStep = (typeof ROOT_STEPS)[number];

export interface PlanInput {
  readonly rotation: { readonly from: string; readonly to: string; readonly phase: 'trust' | 'sign' } | null;
  /** Name of the root above what signs. */
  readonly root: string;
  readonly lastGeneration: number;
  /** Generation of what signs. */
  readonly generation: number;
  readonly proxies: readonly {
    readonly instance: string;
    readonly connected: boolean;
    readonly trusts: boolean;
    readonly generation: number | null;
    readonly blocked: boolean;
  }[];
  /** Certificates below the old root that somebody may still use, and the last of their ends (RFC 3339). */
  readonly held: readonly { readonly name: string; readonly channel: string; readonly serial: string; readonly notAfter: string }[];
  readonly heldUntil: string | null;
}

export interface PlannedStep {
  readonly step: RootStep;
  readonly what: string;
  readonly state: 'done' | 'next' | 'waits' | 'later';
  /** What it waits for, or what is not yet as it should be. */
  readonly why: readonly string[];
}

/** Three steps; the first that is not done is `next`, or `waits` when something stands in its way. */
export function planRoot(input: PlanInput): PlannedStep[] {
  const { rotation, proxies } = input;
  const from = rotation?.from ?? input.root;
  const to = rotation?.to ?? `root-${input.lastGeneration + 1}`;
  const live = proxies.filter(({ blocked }) => !blocked);
  const behind = live
    .filter(({ connected, trusts }) => !connected || !trusts)
    .map(({ instance }) => `${instance} does not trust ${to} yet`);
  const old = live
    .filter(({ generation }) => generation !== null && generation < input.generation)
    .map(({ instance }) => `${instance} has a certificate of an earlier generation`);
  const held = input.held.map(({ name, channel, serial, notAfter }) => `${name} (${channel}, serial ${serial}) is valid until ${notAfter}`);
  const safe = input.heldUntil === null ? [] : [`the last of them ends at ${input.heldUntil}: from then on ${from} can go without loss`];
  const done = rotation === null ? 0 : rotation.phase === 'trust' ? 1 : 2;
  const waits: readonly (readonly string[])[] = [[], behind, [...behind, ...old, ...held, ...(held.length > 0 ? safe : [])]];
  const what: Readonly<Record<RootStep, string>> = {
    trust: `${to} and intermediates below it are made; every proxy trusts ${from} and ${to}`,
    sign: `what is below ${to} signs; every proxy gets a new certificate`,
    drop: `${from} is trusted no more, and nothing below it`,
  };
  return ROOT_STEPS.map((step, i) => {
    const why = i === done ? (waits[i] ?? []) : [];
    return { step, what: what[step], state: i < done ? 'done' : i > done ? 'later' : why.length > 0 ? 'waits' : 'next', why };
  });
}
