import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeFrame, FrameDecoder, MAX_FRAME_BYTES } from '../../src/base/frames.ts';

test('gives back every message, wherever the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue(), { maxLength: 8 }), fc.array(fc.nat(200), { maxLength: 20 }), (messages, cuts) => {
      const bytes = Buffer.concat(messages.map(encodeFrame));
      const decoder = new FrameDecoder();
      const received: unknown[] = [];
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        received.push(...decoder.push(bytes.subarray(at, at + cut)));
        at += cut;
        if (at >= bytes.length) break;
      }
      received.push(...decoder.push(bytes.subarray(Math.min(at, bytes.length))));
      assert.deepEqual(received, JSON.parse(JSON.stringify(messages)));
    }),
  );
});

test('refuses a frame that announces more than the limit before it has come', () => {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(MAX_FRAME_BYTES + 1);
  assert.throws(() => new FrameDecoder().push(head), RangeError);
});

test('refuses a frame that is not JSON', () => {
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 3]), Buffer.from('{x}')]);
  assert.throws(() => new FrameDecoder().push(frame), SyntaxError);
});
