// Runs the cases of test/spec/http1/*.md against the request parser: whole, and byte by byte.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RequestParser } from '../../src/proxy/codec/h1/parser.ts';

const directory = join(dirname(fileURLToPath(import.meta.url)), '..', 'spec', 'http1');

interface Case {
  readonly title: string;
  readonly bytes: Buffer;
  readonly events: string;
}

function readCases(file: string): Case[] {
  const text = readFileSync(join(directory, file), 'utf8');
  return [...text.matchAll(/^## (.+)\n(?:.*\n)*?```\n([\s\S]*?)```\n> (.+)$/gm)].map((match) => {
    // The line break before the closing fence is not part of the bytes, unless the message ends with an empty line.
    const body = (match[2] ?? '').replace(/\n$/, '').split('\n').join('\r\n');
    const bytes = Buffer.from(JSON.parse(`"${body.replace(/\r/g, '\\r').replace(/\n/g, '\\n').replace(/"/g, '\\"')}"`) as string, 'latin1');
    const ended = (match[2] ?? '').endsWith('\n\n') ? Buffer.concat([bytes, Buffer.from('\r\n')]) : bytes;
    return { title: match[1] ?? '', bytes: ended, events: match[3] ?? '' };
  });
}

function events(bytes: Buffer, step: number): string {
  const log: string[] = [];
  let data = '';
  const flush = (): void => {
    if (data !== '') log.push(`data ${data}`);
    data = '';
  };
  const parser = new RequestParser({
    onHead: (head) => log.push(`head ${head.method} ${head.target}`),
    onData: (chunk) => {
      if (step > 1) flush();
      data += chunk.toString('latin1');
    },
    onEnd: (trailers) => {
      flush();
      log.push(`end${trailers.map((part, i) => (i % 2 === 0 ? ` ${part}=` : part)).join('')}`);
      parser.next();
    },
    onError: (error) => {
      flush();
      log.push(`error ${error.status}`);
    },
  });
  for (let at = 0; at < bytes.length; at += step) parser.push(bytes.subarray(at, at + step));
  return log.join(', ');
}

for (const file of readdirSync(directory)) {
  const cases = readCases(file);
  test(`${file} has cases`, () => assert.ok(cases.length > 20));
  for (const { title, bytes, events: expected } of cases) {
    test(`${file}: ${title}`, () => {
      assert.equal(events(bytes, bytes.length), expected);
      // Byte by byte the same happens, only that data comes in pieces.
      const joined = (text: string): string =>
        text
          .replace(/, data /g, '+')
          .replace(/\+([^,+]*)(?=\+)/g, '+$1')
          .replaceAll('+', '');
      assert.equal(joined(events(bytes, 1)), joined(expected));
    });
  }
}
