// Kills what works on an authority, then looks whether the authority is still one.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import { keyPair } from '../../src/certs/key.ts';
import { runCertsMethod } from '../../src/control/certs.ts';
import { openOffice } from '../../src/platform/local/office.ts';

const WORKER = fileURLToPath(new URL('./authority-worker.ts', import.meta.url));

export function work(directory: string, order: string, at = 0, side = 'before'): ChildProcess & { text(): string } {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WORKER, directory, order, String(at), side], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  return Object.assign(child, { text: () => text });
}

/** Runs to its end; gives whether it was killed, and what it said. */
export async function finish(child: ReturnType<typeof work>): Promise<{ killed: boolean; text: string }> {
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  assert.ok(code === 0 || signal === 'SIGKILL', `exit ${code} ${signal}`);
  return { killed: signal === 'SIGKILL', text: child.text() };
}

/** It opens, its record is whole and knows every serial that was given out, and it issues. */
export async function assertUsable(directory: string, given: readonly string[]): Promise<void> {
  const { office, close } = await openOffice(directory, { trustDomain: 'kill.example' });
  try {
    assert.equal(office.record.broken(), undefined, 'the chain of the record is whole');
    for (const serial of given) assert.ok(office.record.issued(serial) !== undefined, `${serial} was given out and is not on record`);
    const { privateKey, publicKey } = keyPair();
    const request = makeSigningRequest(privateKey, publicKey).toString('base64');
    const issued = runCertsMethod({ office, mesh: undefined }, 'certs.issue', { name: 'after', request }) as { serial: string };
    assert.ok(!given.includes(issued.serial));
    office.lists();
  } finally {
    close();
  }
}

export const serialsIn = (text: string): string[] => [...text.matchAll(/^issued ([0-9a-f]+)$/gm)].map((match) => match[1] ?? '');
