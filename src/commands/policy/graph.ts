// `meshctl policy graph`: who may call whom under a policy, or what one service can reach.
import { Fault } from '../../base/fault.ts';
import { type Hop, printRequest, Reachability } from '../../policy/reachability.ts';
import { reachable } from '../../policy/verify.ts';
import { renderGraphSvg } from '../../views/graph-svg.ts';
import { renderTable } from '../../views/table.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption, textOption } from '../input.ts';
import { loadSubject, portsOf } from './subject.ts';

interface Edge {
  readonly from: string;
  readonly to: string;
  readonly fromTier: string | undefined;
  readonly toTier: string | undefined;
  readonly bridge: boolean;
  readonly grants: readonly { readonly rule: string; readonly place: string; readonly request: string }[];
}

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json', 'dot', 'mermaid', 'svg']);
  const subject = await loadSubject(context, input, []);
  const reach = new Reachability(subject.policy, context.now(), [], portsOf(subject.mesh));
  const from = textOption(input, 'from');
  const starts = from === undefined ? undefined : reach.classes.filter(({ label, service }) => service === from || label === from);
  if (starts?.length === 0) throw new Fault('SERVICE_UNKNOWN', 'not-found', `the policy knows no service \`${from}\``);
  const hops: Hop[] =
    starts === undefined
      ? reach.classes.flatMap((caller) =>
          reach.classes.flatMap((callee) => (caller === callee || callee.service === undefined ? [] : (reach.edge(caller, callee) ?? []))),
        )
      : reachable(reach, starts, false).map(({ hop }) => hop);
  const edges = hops.map((hop): Edge => {
    const grants = reach.grants(hop.from, hop.to);
    return {
      from: hop.from.label,
      to: hop.to.label,
      fromTier: reach.tierOf(hop.from),
      toTier: reach.tierOf(hop.to),
      bridge: reach.isBridge(hop.to),
      grants:
        grants.length === 0
          ? [{ rule: hop.decision.rule, place: '', request: printRequest(hop.request) }]
          : grants.map(({ rule, hop: { request } }) => ({
              rule: rule.id,
              place: `${rule.place.file}:${rule.place.line}`,
              request: printRequest(request),
            })),
    };
  });
  const blast =
    starts === undefined
      ? undefined
      : { stoppingAtBridges: reachable(reach, starts, true).length, throughBridges: reachable(reach, starts, false).length };
  if (format === 'json') {
    const body = edges.map(({ fromTier, toTier, ...edge }) => ({ ...edge, fromTier: fromTier ?? null, toTier: toTier ?? null }));
    context.print(document('PolicyGraph', { policy: subject.source, from: from ?? null, blastRadius: blast ?? null, edges: body }));
  } else if (format === 'dot') context.print(dot(edges));
  else if (format === 'mermaid') context.print(mermaid(edges));
  else if (format === 'svg') {
    const drawn = edges.map(({ grants, ...edge }) => ({ ...edge, text: grants.map(({ request }) => request).join(', ') }));
    const tiers = subject.policy.tiers.map(({ name }) => name);
    context.print(renderGraphSvg(drawn, tiers));
  } else {
    const rows = edges.map((edge) => [
      edge.from,
      edge.to + (edge.bridge ? ' (bridge)' : ''),
      edge.toTier ?? '',
      edge.grants.map(({ rule }) => rule.split(': ').slice(1).join(': ') || rule).join(', '),
      edge.grants[0]?.place ?? '',
    ]);
    context.print(renderTable([{ name: 'CALLER' }, { name: 'CALLEE' }, { name: 'TIER' }, { name: 'MAY' }, { name: 'WHERE' }], rows));
    if (blast !== undefined)
      context.print(
        `\n${from} reaches ${blast.stoppingAtBridges} service${blast.stoppingAtBridges === 1 ? '' : 's'}, ${blast.throughBridges} through bridges\n`,
      );
  }
  return 0;
};

const quote = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`;

/** Nodes by tier, each a band. */
function tiers(edges: readonly Edge[]): Map<string, Set<string>> {
  const bands = new Map<string, Set<string>>();
  const put = (tier: string | undefined, node: string): void => void bands.set(tier ?? '', (bands.get(tier ?? '') ?? new Set()).add(node));
  for (const { from, to, fromTier, toTier } of edges) {
    put(fromTier, from);
    put(toTier, to);
  }
  return bands;
}

function dot(edges: readonly Edge[]): string {
  const bands = [...tiers(edges)].map(([tier, nodes], i) =>
    tier === ''
      ? [...nodes].map((node) => `  ${quote(node)};`).join('\n')
      : `  subgraph cluster_${i} {\n    label=${quote(tier)};\n${[...nodes].map((node) => `    ${quote(node)};`).join('\n')}\n  }`,
  );
  const arrows = edges.map(({ from, to, grants }) => `  ${quote(from)} -> ${quote(to)} [label=${quote(grants[0]?.request ?? '')}];`);
  return `digraph policy {\n  rankdir=LR;\n${bands.join('\n')}\n${arrows.join('\n')}\n}\n`;
}

function mermaid(edges: readonly Edge[]): string {
  const ids = new Map<string, string>();
  const id = (node: string): string => {
    const known = ids.get(node) ?? `n${ids.size}`;
    ids.set(node, known);
    return known;
  };
  const text = (label: string): string => label.replace(/["#;|<>]/g, ' ');
  const bands = [...tiers(edges)].map(([tier, nodes], i) => {
    const inside = [...nodes].map((node) => `    ${id(node)}["${text(node)}"]`).join('\n');
    return tier === '' ? inside : `  subgraph t${i}["${text(tier)}"]\n${inside}\n  end`;
  });
  const arrows = edges.map(({ from, to, grants }) => `  ${id(from)} -->|"${text(grants[0]?.request ?? '')}"| ${id(to)}`);
  return `flowchart LR\n${bands.join('\n')}\n${arrows.join('\n')}\n`;
}
