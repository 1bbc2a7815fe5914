// Who may call whom as a picture: a band for each tier, the least trusted on top; a line for each edge, with its requests as a tooltip.
import { forXml } from './xml.ts';

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly fromTier: string | undefined;
  readonly toTier: string | undefined;
  /** The callee is a bridge. */
  readonly bridge: boolean;
  readonly text: string;
}

const NODE_HEIGHT = 34;
const BAND_HEIGHT = 110;
const GAP = 36;
const MARGIN = 24;
const LABEL_WIDTH = 90;
const CHAR_WIDTH = 7.6;

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/** `tiers`: least trusted first; what has none stands in a band of its own, on top. */
export function renderGraphSvg(edges: readonly GraphEdge[], tiers: readonly string[]): string {
  const bands = bandsOf(edges, tiers);
  const bridges = new Set(edges.filter(({ bridge }) => bridge).map(({ to }) => to));
  const boxes = new Map<string, Box>();
  let width = 0;
  bands.forEach(({ nodes }, row) => {
    let x = MARGIN + LABEL_WIDTH;
    for (const node of nodes) {
      const own = Math.max(60, node.length * CHAR_WIDTH + 20);
      boxes.set(node, { x, y: MARGIN + row * BAND_HEIGHT + (BAND_HEIGHT - NODE_HEIGHT) / 2, width: own });
      x += own + GAP;
    }
    width = Math.max(width, x - GAP + MARGIN);
  });
  const height = MARGIN * 2 + bands.length * BAND_HEIGHT;
  const background = bands.map(
    ({ tier }, row) =>
      `  <rect class="band${row % 2}" x="0" y="${MARGIN + row * BAND_HEIGHT}" width="${width}" height="${BAND_HEIGHT}"/>\n  <text class="tier" x="${MARGIN}" y="${MARGIN + row * BAND_HEIGHT + BAND_HEIGHT / 2 + 4}">${forXml(tier)}</text>`,
  );
  const lines = edges.flatMap((edge) => {
    const from = boxes.get(edge.from);
    const to = boxes.get(edge.to);
    return from === undefined || to === undefined
      ? []
      : [
          `  <path class="edge" marker-end="url(#arrow)" d="${curve(from, to)}"><title>${forXml(`${edge.from} -> ${edge.to}: ${edge.text}`)}</title></path>`,
        ];
  });
  const nodes = [...boxes].map(([name, { x, y, width: own }]) => {
    const ring = bridges.has(name)
      ? `<rect class="ring" x="${x - 4}" y="${y - 4}" width="${own + 8}" height="${NODE_HEIGHT + 8}" rx="10"/>`
      : '';
    return `  <g>${ring}<rect class="node" x="${x}" y="${y}" width="${own}" height="${NODE_HEIGHT}" rx="7"/><text class="name" x="${x + own / 2}" y="${y + NODE_HEIGHT / 2 + 4}">${forXml(name)}</text><title>${forXml(name)}${bridges.has(name) ? ' (bridge)' : ''}</title></g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="who may call whom, by tier">
  <style>${STYLE}</style>
  <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>
${[...background, ...lines, ...nodes].join('\n')}
</svg>
`;
}

const STYLE =
  'text{font:13px ui-monospace,monospace;fill:#1b2733}.tier{font-weight:600;fill:#5a6b7b}.band0{fill:#f3f6f9}.band1{fill:#e8eef4}.node{fill:#fff;stroke:#34506b}.ring{fill:none;stroke:#b26a00;stroke-dasharray:4 3}.name{text-anchor:middle}.edge{fill:none;stroke:#4a7aa8;stroke-width:1.4}.head{fill:#4a7aa8}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.tier{fill:#9fb0c0}.band0{fill:#131a21}.band1{fill:#1a232c}.node{fill:#0d1319;stroke:#7fa3c7}}';

function bandsOf(edges: readonly GraphEdge[], tiers: readonly string[]): { tier: string; nodes: string[] }[] {
  const order = ['', ...tiers];
  const bands = new Map<string, Set<string>>();
  for (const { from, to, fromTier, toTier } of edges)
    for (const [node, tier] of [
      [from, fromTier ?? ''],
      [to, toTier ?? ''],
    ] as const)
      bands.set(tier, (bands.get(tier) ?? new Set()).add(node));
  return [...bands]
    .sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))
    .map(([tier, nodes]) => ({ tier, nodes: [...nodes].sort((a, b) => a.localeCompare(b)) }));
}

/** Down from the lower edge of the caller to the upper edge of the callee; up, or along the band, by a bow. */
function curve(from: Box, to: Box): string {
  const [x1, x2] = [from.x + from.width / 2, to.x + to.width / 2];
  if (to.y > from.y) {
    const [y1, y2] = [from.y + NODE_HEIGHT, to.y];
    return `M${x1} ${y1}C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}`;
  }
  const [y1, y2] = [from.y, to.y === from.y ? to.y : to.y + NODE_HEIGHT];
  const bow = to.y === from.y ? from.y - 30 : (y1 + y2) / 2;
  return `M${x1} ${y1}C${x1} ${bow} ${x2} ${bow} ${x2} ${y2}`;
}
