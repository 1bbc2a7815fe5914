// Runs test/spec/http1-mesh/*.md through an ingress and a sidecar, against a service whose bytes the documents give or record.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ResponseParser } from '../../src/proxy/codec/h1/parser.ts';
import { ROOT } from '../support/cli.ts';
import { listen, startApp, TestMesh } from '../support/test-mesh.ts';

interface Case {
  readonly title: string;
  readonly bytes: Buffer;
  readonly expected: readonly string[];
}

/** `{N × text}` stands for the text N times: whole lines where it fills a line. */
function readCases(file: string): Case[] {
  const text = readFileSync(join(ROOT, 'test/spec/http1-mesh', file), 'utf8');
  return [...text.matchAll(/^## (.+)\n```\n([\s\S]*?)```\n> (.+)$/gm)].map(([, title = '', block = '', expected = '']) => {
    const body = block.endsWith('\n\n') ? block : block.replace(/\n$/, '');
    const repeated = body
      .replace(/^\{(\d+) × (.+)\}$/gm, (_all, times: string, line: string) => `${line}\n`.repeat(Number(times)).slice(0, -1))
      .replace(/\{(\d+) × ([^}]+)\}/g, (_all, times: string, part: string) => part.repeat(Number(times)));
    const escaped = repeated.replaceAll('\t', '\\t').replaceAll('"', '\\"').replaceAll('\n', '\\r\\n');
    return {
      title,
      bytes: Buffer.from(JSON.parse(`"${escaped}"`) as string, 'latin1'),
      expected: expected.split(' ').map((part) => JSON.parse(`"${part}"`) as string),
    };
  });
}

interface Got {
  readonly status: number | undefined;
  readonly fields: Map<string, string>;
  readonly body: string;
  readonly whole: boolean;
}

/** Sends the bytes and gives the first answer; `whole` when it ended as it should. */
function exchange(port: number, bytes: Buffer, method: string): Promise<Got> {
  return new Promise((resolve) => {
    const socket: Socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let got: Got = { status: undefined, fields: new Map(), body: '', whole: false };
    const parser = new ResponseParser({
      onHead: ({ status, fields }) => {
        if (status >= 200)
          got = { ...got, status, fields: new Map(fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1] ?? '']] : []))) };
      },
      onData: (part) => {
        got = { ...got, body: got.body + part.toString('latin1') };
      },
      onEnd: () => {
        got = { ...got, whole: true };
        socket.destroy();
      },
      onError: () => socket.destroy(),
    });
    parser.expect(method);
    socket.on('data', (part: Buffer) => parser.push(part));
    socket.on('end', () => parser.finish());
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(got));
  });
}

/** Fields and the rest that an expectation names: `name=value`, `-name`, `body=…`. */
function check(expected: readonly string[], value: (name: string) => string | undefined, body: string): void {
  for (const part of expected) {
    const at = part.indexOf('=');
    if (part.startsWith('-')) assert.equal(value(part.slice(1)), undefined, part);
    else if (part.startsWith('body=')) assert.equal(body, part.slice(5));
    else if (part.endsWith('=uuid')) assert.match(value(part.slice(0, at)) ?? '', /^[0-9a-f-]{36}$/);
    else assert.equal(value(part.slice(0, at)), part.slice(at + 1), part);
  }
}

const MESH = 'ingress: {routes: [{path: /, service: one}]}\nservices: {one: {command: x}}\n';
const POLICY = 'allow:\n  - ingress -> one: any\n';

const requests = readCases('requests.md');
const answers = readCases('answers.md');

test('the documents have their cases', () => {
  assert.ok(requests.length >= 40 && answers.length >= 30, `${requests.length} ${answers.length}`);
});

let mesh: TestMesh;
let app: Awaited<ReturnType<typeof startApp>>;
let port = 0;
let answer: Buffer = Buffer.alloc(0);
/** What came behind the heads that `app.seen` has. */
const ends: { body: string; trailers: NodeJS.Dict<string> }[] = [];
const raw = createServer((socket) => {
  socket.on('error', () => undefined);
  socket.once('data', () => socket.end(answer));
});
let rawPort = 0;
let rawMesh: TestMesh;

before(async () => {
  mesh = await TestMesh.start(MESH, POLICY);
  app = await startApp((request, response) => {
    let body = '';
    request.setEncoding('latin1').on('data', (part: string) => {
      body += part;
    });
    request.on('end', () => {
      ends.push({ body, trailers: request.trailers });
      response.end('ok');
    });
  });
  await mesh.addProxy('one', { appPort: app.port });
  port = (await mesh.addProxy('ingress', { ingress: true })).ports.ingress ?? 0;
  rawMesh = await TestMesh.start(MESH, POLICY);
  await rawMesh.addProxy('one', { appPort: await listen(raw) });
  rawPort = (await rawMesh.addProxy('ingress', { ingress: true })).ports.ingress ?? 0;
});

after(async () => {
  await mesh[Symbol.asyncDispose]();
  await rawMesh[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
  raw.close();
});

for (const { title, bytes, expected } of requests) {
  test(`requests.md: ${title}`, async () => {
    app.seen.length = 0;
    ends.length = 0;
    const [first = '', target, ...rest] = expected;
    if (first === 'nothing') {
      const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
      await new Promise((done) =>
        socket
          .on('error', () => undefined)
          .on('close', done)
          .resume(),
      );
      assert.equal(ends.length, 0, 'no whole request came');
      return;
    }
    const got = await exchange(port, bytes, first);
    if (target === undefined) {
      assert.equal(got.status, Number(first));
      assert.equal(app.seen.length, 0, 'the service saw it');
      return;
    }
    assert.equal(got.status, 200);
    const [seen] = app.seen;
    assert.deepEqual([app.seen.length, seen?.method, seen?.url], [1, first, target]);
    const field = (name: string): string | undefined =>
      name.startsWith('trailer:') ? ends[0]?.trailers[name.slice(8)] : (seen?.headers[name] as string | undefined);
    check(rest, field, ends[0]?.body ?? '');
  });
}

for (const { title, bytes, expected } of answers) {
  test(`answers.md: ${title}`, async () => {
    answer = bytes;
    const got = await exchange(rawPort, Buffer.from('GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n'), 'GET');
    const [status, ...rest] = expected;
    assert.equal(got.status, Number(status));
    assert.equal(got.whole, !rest.includes('broken'));
    check(
      rest.filter((part) => part !== 'broken'),
      (name) => got.fields.get(name),
      got.body,
    );
  });
}
