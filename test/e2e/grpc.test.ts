// gRPC with a real client and server (@grpc/grpc-js) through an outbound and an inbound proxy: every kind of call, status, deadline, denial.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, credentials, Metadata, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { TestMesh } from '../support/test-mesh.ts';

const MESH = 'services: {front: {command: x, calls: [back]}, back: {command: x, ports: {grpc: {protocol: grpc}}}}\n';
const POLICY = 'allow:\n  - front -> back: POST /echo.Echo/*\n';
const same = (value: Buffer): Buffer => value;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/echo.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

async function grpcMesh() {
  const mesh = await TestMesh.start(MESH, POLICY);
  const deadlines: number[] = [];
  const server = new Server();
  server.addService(
    {
      one: method('One', false, false),
      many: method('Many', false, true),
      sum: method('Sum', true, false),
      chat: method('Chat', true, true),
      slow: method('Slow', false, false),
      fail: method('Fail', false, false),
    },
    {
      one: (call: { request: Buffer; getDeadline(): Date | number }, done: (error: null, value: Buffer) => void) => {
        deadlines.push(Number(call.getDeadline()) - Date.now());
        done(null, call.request);
      },
      many: (call: { write(bytes: Buffer): void; end(): void }) => {
        for (let i = 0; i < 50; i++) call.write(Buffer.from(`part ${i}`));
        call.end();
      },
      sum: (call: AsyncIterable<Buffer>, done: (error: null, value: Buffer) => void) => {
        void (async () => {
          let size = 0;
          for await (const part of call) size += part.length;
          done(null, Buffer.from(String(size)));
        })();
      },
      chat: (call: NodeJS.ReadWriteStream) => {
        call.on('data', (part: Buffer) => call.write(part as never));
        call.on('end', () => call.end());
      },
      slow: () => undefined,
      fail: (_call: unknown, done: (error: Partial<ServiceError>) => void) =>
        done({ code: status.NOT_FOUND, details: 'no such echo — näh' }),
    } as never,
  );
  const port = await new Promise<number>((done, fail) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error === null ? done(bound) : fail(error))),
  );
  await mesh.addProxy('back', { appPort: port });
  const front = await mesh.addProxy('front');
  const client = new Client(`127.0.0.1:${front.ports.outbound['back']}`, credentials.createInsecure());
  return {
    client,
    deadlines,
    mesh,
    [Symbol.asyncDispose]: async () => {
      client.close();
      server.forceShutdown();
      await mesh[Symbol.asyncDispose]();
    },
  };
}

function unary(client: Client, name: string, bytes: Buffer, deadlineMs?: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      `/echo.Echo/${name}`,
      same,
      same,
      bytes,
      new Metadata(),
      deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
      (error, value) => (error === null ? resolve(value ?? Buffer.alloc(0)) : reject(error)),
    );
  });
}

test('unary, both streamings and both ways at once', async () => {
  await using setup = await grpcMesh();
  const { client } = setup;
  assert.equal((await unary(client, 'One', Buffer.from('hello'))).toString(), 'hello');
  const large = Buffer.alloc(3_000_000, 'ab');
  assert.ok((await unary(client, 'One', large)).equals(large));
  const parts: string[] = [];
  for await (const part of client.makeServerStreamRequest('/echo.Echo/Many', same, same, Buffer.alloc(0))) parts.push(part.toString());
  assert.deepEqual([parts.length, parts[49]], [50, 'part 49']);
  const sum = await new Promise<string>((resolve, reject) => {
    const call = client.makeClientStreamRequest('/echo.Echo/Sum', same, same, (error, value) =>
      error === null ? resolve(String(value)) : reject(error),
    );
    for (let i = 0; i < 20; i++) call.write(Buffer.alloc(10_000));
    call.end();
  });
  assert.equal(sum, '200000');
  const chat = client.makeBidiStreamRequest('/echo.Echo/Chat', same, same);
  const echoed: string[] = [];
  chat.write(Buffer.from('0'));
  for await (const part of chat) {
    echoed.push((part as Buffer).toString());
    if (echoed.length < 10) chat.write(Buffer.from(String(echoed.length)));
    else chat.end();
  }
  assert.equal(echoed.join(''), '0123456789');
});

test("the service's own status and message reach the caller", async () => {
  await using setup = await grpcMesh();
  await assert.rejects(unary(setup.client, 'Fail', Buffer.alloc(0)), { code: status.NOT_FOUND, details: 'no such echo — näh' });
});

test('a denial is PERMISSION_DENIED and says nothing more', async () => {
  await using setup = await grpcMesh();
  const call = new Promise((resolve, reject) => {
    setup.client.makeUnaryRequest('/other.Service/One', same, same, Buffer.alloc(0), (error, value) =>
      error === null ? resolve(value) : reject(error),
    );
  });
  await assert.rejects(call, { code: status.PERMISSION_DENIED, details: 'forbidden' });
});

test('a deadline is kept by the proxies, and what is left of it reaches the service', async () => {
  await using setup = await grpcMesh();
  await unary(setup.client, 'One', Buffer.from('x'), 5000);
  assert.ok((setup.deadlines[0] ?? 0) > 3000 && (setup.deadlines[0] ?? 0) <= 5000, String(setup.deadlines[0]));
  const began = Date.now();
  await assert.rejects(unary(setup.client, 'Slow', Buffer.alloc(0), 300), { code: status.DEADLINE_EXCEEDED });
  assert.ok(Date.now() - began < 3000);
});

test('nobody there: UNAVAILABLE with the reason', async () => {
  await using setup = await grpcMesh();
  await setup.mesh.remove('back-0');
  await setup.mesh.settled();
  await assert.rejects(unary(setup.client, 'One', Buffer.alloc(0)), (error: ServiceError) => {
    assert.equal(error.code, status.UNAVAILABLE);
    assert.match(error.details, /no_endpoint/);
    return true;
  });
});
