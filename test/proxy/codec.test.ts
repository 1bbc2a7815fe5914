import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { REFUSALS } from '../../src/mesh/refusal.ts';
import { answeredFields, fieldOf, forwardedFields, hasToken, safeTrailers } from '../../src/proxy/codec/fields.ts';
import { RequestParser, ResponseParser } from '../../src/proxy/codec/h1/parser.ts';
import { MAX_FIELDS, MAX_HEAD_BYTES } from '../../src/proxy/codec/limits.ts';
import { answerFor } from '../../src/proxy/rescue.ts';

function parseRequest(text: string): string {
  let result = 'nothing';
  const parser = new RequestParser({
    onHead: (head) => {
      result = `head ${head.fields.length / 2}`;
    },
    onData: () => undefined,
    onEnd: () => undefined,
    onError: (error) => {
      result = `error ${error.status}`;
    },
  });
  parser.push(Buffer.from(text, 'latin1'));
  return result;
}

function parseResponse(method: string, text: string, close = false): string {
  const log: string[] = [];
  const parser = new ResponseParser({
    onHead: (head, framing) => log.push(`${head.status} ${framing.kind}`),
    onData: (bytes) => log.push(bytes.toString()),
    onEnd: () => log.push('end'),
    onError: (error) => log.push(`error: ${error.why}`),
  });
  parser.expect(method);
  parser.push(Buffer.from(text, 'latin1'));
  if (close) parser.finish();
  return log.join(', ');
}

test('takes as many fields as the limit and not one more', () => {
  const fields = (n: number): string => `GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(n)}\r\n`;
  assert.equal(parseRequest(fields(MAX_FIELDS)), `head ${MAX_FIELDS}`);
  assert.equal(parseRequest(fields(MAX_FIELDS + 1)), 'error 431');
});

test('refuses a head over the limit, ended or not', () => {
  assert.equal(parseRequest(`GET / HTTP/1.1\r\na: ${'x'.repeat(MAX_HEAD_BYTES)}\r\n\r\n`), 'error 431');
  assert.equal(parseRequest(`GET / HTTP/1.1\r\na: ${'x'.repeat(MAX_HEAD_BYTES)}`), 'error 431');
});

for (const [title, method, text, close, expected] of [
  ['a length', 'GET', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi', false, '200 length, hi, end'],
  ['the end of the connection', 'GET', 'HTTP/1.0 200 OK\r\n\r\nhi', true, '200 until-close, hi, end'],
  ['no body for HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n', false, '200 none, end'],
  ['no body for 204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', false, '204 none, end'],
  ['no body for 304 with a length', 'GET', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n', false, '304 none, end'],
  [
    'an interim answer before the real one',
    'GET',
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    false,
    '103 none, 200 length, end',
  ],
  ['a reason phrase that is empty', 'GET', 'HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n', false, '200 length, end'],
] as const) {
  test(`frames an answer by ${title}`, () => assert.equal(parseResponse(method, text, close), expected));
}

for (const [title, text, close] of [
  ['status 000', 'HTTP/1.1 000 X\r\n\r\n', false],
  ['status 999', 'HTTP/1.1 999 X\r\n\r\n', false],
  ['no status', 'HTTP/1.1 OK\r\n\r\n', false],
  ['HTTP/2 in clear', 'HTTP/2 200\r\n\r\n', false],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab', false],
  ['a length and chunks', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n', false],
  ['a line break inside a field', 'HTTP/1.1 200 OK\r\nx: a\nset-cookie: b\r\n\r\n', false],
  ['an end inside the body', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi', true],
  ['an end inside a chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhi', true],
] as const) {
  test(`refuses an answer with ${title}`, () => assert.match(parseResponse('GET', text, close), /error: /));
}

test('never throws, whatever bytes come', () => {
  const piece = fc.constantFrom(
    'GET / HTTP/1.1\r\n',
    'Host: a\r\n',
    '\r\n',
    '\n',
    'Transfer-Encoding: chunked\r\n',
    'Content-Length: 3\r\n',
    '5\r\n',
    'abc',
    '0\r\n\r\n',
    '\u0000',
    ';x=\u0001',
    'HTTP/1.1 200 OK\r\n',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 5 })), { maxLength: 30 }), (pieces) => {
      for (const Parser of [RequestParser, ResponseParser]) {
        let failed = false;
        const parser = new Parser({
          onHead: () => assert.ok(!failed),
          onData: () => assert.ok(!failed),
          onEnd: () => {
            assert.ok(!failed);
            parser.next();
          },
          onError: () => {
            failed = true;
          },
        });
        for (const each of pieces) parser.push(Buffer.from(each, 'latin1'));
        parser.finish();
      }
    }),
    { numRuns: 500 },
  );
});

test('a chunked body is the same wherever the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 6 }), fc.integer({ min: 1, max: 7 }), (chunks, step) => {
      const bytes = Buffer.from(
        `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${chunks.map((chunk) => `${Buffer.byteLength(chunk).toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`,
      );
      const received: Buffer[] = [];
      let ended = 0;
      const parser = new RequestParser({
        onHead: () => undefined,
        onData: (data) => received.push(data),
        onEnd: () => ended++,
        onError: (error) => assert.fail(error.why),
      });
      for (let at = 0; at < bytes.length; at += step) parser.push(bytes.subarray(at, at + step));
      assert.equal(ended, 1);
      assert.equal(Buffer.concat(received).toString(), chunks.join(''));
    }),
  );
});

test('takes out what belongs to one connection, and what that names', () => {
  const fields = [
    'host',
    'a',
    'connection',
    'close, X-Secret',
    'x-secret',
    '1',
    'keep-alive',
    '5',
    'te',
    'trailers',
    'upgrade',
    'h2c',
    'proxy-authorization',
    'x',
    'x-kept',
    '2',
  ];
  assert.deepEqual(forwardedFields(fields, 'b', false), ['host', 'b', 'x-kept', '2']);
  assert.deepEqual(answeredFields(fields, false), ['host', 'a', 'x-kept', '2']);
});

test('does not let a caller remove fields that matter by naming them', () => {
  const fields = [
    'connection',
    'x-request-id, authorization, host, x-forwarded-client-cert',
    'host',
    'a',
    'authorization',
    'b',
    'x-request-id',
    'c',
  ];
  assert.deepEqual(forwardedFields(fields, 'a', false), ['host', 'a', 'authorization', 'b']);
  assert.deepEqual(answeredFields(fields, false), ['host', 'a', 'authorization', 'b', 'x-request-id', 'c']);
});

test('takes out fields that only a proxy may set', () => {
  const claimed = ['x-meshctl-refusal', 'denied', 'x-meshctl-trace', 't', 'a', 'b'];
  assert.deepEqual(answeredFields(claimed, false), ['a', 'b']);
  const request = [...claimed, 'x-forwarded-client-cert', 'URI=spiffe://a/b', 'x-request-id', 'i', 'traceparent', 'p', 'tracestate', 's'];
  assert.deepEqual(forwardedFields(request, 'h', false), ['host', 'h', 'a', 'b']);
  assert.deepEqual(forwardedFields(request, 'h', true), ['host', 'h', 'a', 'b', 'tracestate', 's']);
});

test('answers at the border with the request id of the proxy alone', () =>
  assert.deepEqual(answeredFields(['x-request-id', 'theirs', 'a', 'b'], true), ['a', 'b']));

test('passes on trailers, but none that frames, routes or authenticates', () => {
  const trailers = [
    'x-sum',
    '1',
    'content-length',
    '5',
    'transfer-encoding',
    'chunked',
    'host',
    'b',
    'authorization',
    'c',
    'set-cookie',
    'd',
    'x-request-id',
    'e',
    'x-meshctl-refusal',
    'f',
    'grpc-status',
    '0',
  ];
  assert.deepEqual(safeTrailers(trailers), ['x-sum', '1', 'grpc-status', '0']);
});

test('refuses lines that end without a carriage return at once', () => {
  assert.equal(parseRequest('GET / HTTP/1.1\nHost: a\n\n'), 'error 400');
  assert.equal(parseRequest('GET / HTTP/1.1\r\nHost: a\n'), 'error 400');
  assert.equal(parseRequest('GET / HTTP/1.1\r'), 'nothing');
});

test('finds a field and a token', () => {
  assert.equal(fieldOf(['a', '1', 'b', '2', 'a', '3'], 'a'), '1');
  assert.equal(hasToken(['connection', 'Keep-Alive, Close'], 'connection', 'close'), true);
  assert.equal(hasToken(['connection', 'closed'], 'connection', 'close'), false);
});

for (const refusal of REFUSALS) {
  test(`answers \`${refusal}\` with its status and word`, () => {
    const answer = answerFor({ refusal, why: 'SECRET REASON' }, 'r-1');
    assert.ok(answer.status >= 400 && answer.status < 600);
    const told = JSON.stringify(answer.fields) + answer.body.toString();
    assert.equal(told.includes('SECRET REASON'), refusal !== 'denied');
    assert.equal(fieldOf(answer.fields, 'x-meshctl-refusal'), refusal === 'denied' ? undefined : refusal);
    assert.equal(fieldOf(answer.fields, 'x-request-id'), 'r-1');
  });
}
