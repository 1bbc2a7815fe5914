// Where a proxy without a control plane gets its identity and its configuration: from files, read again when they change.
// What cannot be used is said in the log, and the last good one stays in force.
import { execFile } from 'node:child_process';
import { readFileSync, type StatsListener, unwatchFile, watchFile } from 'node:fs';
import { Fault, messageOf } from '../../base/fault.ts';
import type { Standalone } from '../bootstrap.ts';
import type { Runtime } from '../runtime.ts';
import { buildTables } from '../tables.ts';

const LOOK_EVERY_MS = 1000;
const RELOAD_LIMIT_MS = 30_000;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

export class FileFeed {
  readonly #runtime: Runtime;
  readonly #start: Standalone;
  readonly #on: { readonly onReady: () => void; readonly onTables: () => void };
  readonly #watched: (readonly [string, StatsListener])[] = [];
  #reloading = false;
  #again = false;

  constructor(runtime: Runtime, start: Standalone, on: { onReady: () => void; onTables: () => void }) {
    this.#runtime = runtime;
    this.#start = start;
    this.#on = on;
  }

  /** Throws PROXY_IDENTITY: without a usable identity there is nothing to serve. */
  start(): void {
    this.#loadIdentity();
    this.#runtime.tables = buildTables(this.#start.snapshot);
    const { certFile, keyFile, bundleFile } = this.#start.identity;
    for (const file of new Set([certFile, keyFile, bundleFile])) this.#watch(file, () => this.#renewIdentity());
    for (const file of this.#start.watch) this.#watch(file, () => this.reload());
    this.#on.onReady();
  }

  /** Reads identity and configuration again. */
  reload(): void {
    this.#renewIdentity();
    const [program, ...args] = this.#start.reload ?? [];
    if (program === undefined) return;
    if (this.#reloading) {
      this.#again = true;
      return;
    }
    this.#reloading = true;
    execFile(program, args, { timeout: RELOAD_LIMIT_MS, maxBuffer: 256 * 1024 * 1024 }, (error, stdout, stderr) => {
      this.#reloading = false;
      if (error === null) this.#apply(stdout);
      else this.#runtime.log(`the new configuration is not taken: ${messageOf(stderr === '' ? error : stderr)}`);
      if (!this.#again) return;
      this.#again = false;
      this.reload();
    });
  }

  stop(): Promise<void> {
    for (const [file, listener] of this.#watched) unwatchFile(file, listener);
    return Promise.resolve();
  }

  #watch(file: string, onChange: () => void): void {
    const listener: StatsListener = (now, before) => {
      if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) onChange();
    };
    watchFile(file, { interval: LOOK_EVERY_MS, persistent: false }, listener);
    this.#watched.push([file, listener]);
  }

  #apply(text: string): void {
    try {
      const next = JSON.parse(text) as Standalone;
      if (listeners(next) !== listeners(this.#start)) this.#runtime.log('listeners change only when the proxy starts again');
      this.#runtime.tables = buildTables(next.snapshot);
      this.#runtime.log(`configuration ${next.snapshot.version} is in force`);
      this.#on.onTables();
    } catch (error) {
      this.#runtime.log(`the new configuration is not taken: ${messageOf(error)}`);
    }
  }

  #renewIdentity(): void {
    try {
      this.#loadIdentity();
    } catch (error) {
      this.#runtime.log(`the new identity is not taken: ${messageOf(error)}`);
    }
  }

  #loadIdentity(): void {
    const { certFile, keyFile, bundleFile } = this.#start.identity;
    const [chain, key, bundle] = [certFile, keyFile, bundleFile].map((file) => {
      try {
        return readFileSync(file, 'utf8');
      } catch (cause) {
        throw new Fault('PROXY_IDENTITY', 'config', `cannot read ${file}: ${messageOf(cause)}`, { cause });
      }
    });
    this.#runtime.credentials.load(chain ?? '', key ?? '', bundle?.match(CERTIFICATE) ?? []);
  }
}

function listeners({ inbound, outbound, plain }: Standalone): string {
  return JSON.stringify([inbound, outbound, plain]);
}
