// Colours and symbols by meaning. Never colour alone: each meaning has a symbol too. Chalk decides by terminal and environment.
import chalk from 'chalk';

export type Meaning = 'good' | 'warn' | 'bad' | 'dim' | 'strong' | 'plain';

const PAINT: Record<Meaning, (text: string) => string> = {
  good: chalk.green,
  warn: chalk.yellow,
  bad: chalk.red,
  dim: chalk.dim,
  strong: chalk.bold,
  plain: (text) => text,
};

export const SYMBOL = { good: '√', warn: '‼', bad: '×' } as const;

export function paint(meaning: Meaning, text: string): string {
  return PAINT[meaning](text);
}
