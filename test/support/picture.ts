// A terminal's text with its colours → an SVG picture: `tmux capture-pane -e -p | node test/support/picture.ts > docs/top.svg`.
import { readFileSync } from 'node:fs';

const COLORS: Readonly<Record<string, string>> = { '31': '#e5534b', '32': '#57ab5a', '33': '#c69026' };
const CHAR = 7.83;
const LINE = 17;
const PAD = 14;

interface Style {
  color: string;
  bold: boolean;
  dim: boolean;
}

const escapeXml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const lines = readFileSync(0, 'utf8').replace(/\s+$/, '').split('\n');
let widest = 0;
const rows = lines.map((line, row) => {
  const style: Style = { color: '#adbac7', bold: false, dim: false };
  let column = 0;
  const parts = line.split('\u001b[').map((part, i) => {
    let text = part;
    const code = i === 0 ? null : /^([0-9;]*)m/.exec(part);
    if (code !== null) {
      text = part.slice(code[0].length);
      for (const one of (code[1] ?? '0').split(';')) {
        if (one === '0' || one === '' || one === '39') Object.assign(style, { color: '#adbac7' });
        if (one === '0' || one === '' || one === '22') Object.assign(style, { bold: false, dim: false });
        if (one === '1') style.bold = true;
        if (one === '2') style.dim = true;
        style.color = COLORS[one] ?? style.color;
      }
    }
    const x = PAD + column * CHAR;
    column += [...text].length;
    widest = Math.max(widest, column);
    if (text.trim() === '') return '';
    return `<text x="${x.toFixed(1)}" y="${PAD + 12 + row * LINE}" fill="${style.color}"${style.bold ? ' font-weight="bold"' : ''}${style.dim ? ' opacity="0.6"' : ''} xml:space="preserve" textLength="${([...text].length * CHAR).toFixed(1)}">${escapeXml(text)}</text>`;
  });
  return parts.join('');
});
const width = Math.ceil(PAD * 2 + widest * CHAR);
const height = PAD * 2 + lines.length * LINE;
process.stdout.write(
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13">\n<rect width="100%" height="100%" rx="6" fill="#22272e"/>\n${rows.join('\n')}\n</svg>\n`,
);
