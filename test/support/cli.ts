// Runs the program as a user does: bin/meshctl.js as a process, in a directory and with a state home of its own.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const LAUNCHER = join(ROOT, 'bin', 'meshctl.js');

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class Workplace implements AsyncDisposable {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'meshctl-cli-'));
    mkdirSync(join(this.directory, 'home'));
    this.env = {
      PATH: process.env['PATH'],
      HOME: this.directory,
      XDG_STATE_HOME: join(this.directory, 'home'),
      TMPDIR: process.env['TMPDIR'] ?? tmpdir(),
    };
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(join(this.directory, name)), { recursive: true });
    writeFileSync(join(this.directory, name), text);
  }

  /** Never rejects: the exit code is part of the result. */
  run(args: readonly string[], options: { env?: NodeJS.ProcessEnv; input?: string; cwd?: string } = {}): Promise<Result> {
    return new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        [LAUNCHER, ...args],
        { cwd: options.cwd ?? this.directory, env: { ...this.env, ...options.env }, timeout: 50_000, maxBuffer: 16 * 1024 * 1024 },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 255, stdout, stderr }),
      );
      child.stdin?.end(options.input ?? '');
    });
  }

  /** Runs and gives the JSON document; fails the test on another exit code than 0. */
  async json<T>(args: readonly string[]): Promise<T> {
    const result = await this.run([...args, '-o', 'json']);
    if (result.code !== 0) throw new Error(`${args.join(' ')}: exit ${result.code}: ${result.stderr}`);
    return JSON.parse(result.stdout) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run(['down']);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A service in one line of JavaScript: answers with its instance's name, and passes `x-request-id` on to what `CALL_URL` names. */
export const ECHO = `
const http = require('http');
http.createServer((q, s) => {
  if (q.url === '/crash') process.exit(7);
  const url = q.url.startsWith('/call') && Object.entries(process.env).find(([k]) => k.endsWith('_URL') && !k.startsWith('npm'));
  if (!url) return s.end(process.env.MESHCTL_INSTANCE + ' ' + process.pid);
  http.get(url[1] + '/called', { headers: { 'x-request-id': q.headers['x-request-id'] || '' } }, (r) => { s.statusCode = r.statusCode; r.pipe(s); }).on('error', () => { s.statusCode = 500; s.end(); });
}).listen(process.env.PORT, '127.0.0.1');
`;

export const TWO_SERVICES = `apiVersion: meshctl.dev/v1
kind: Mesh
name: pair
ingress: {port: 0, routes: [{path: /, service: front}]}
services:
  front: {command: [node, echo.js], calls: [back]}
  back: {command: [node, echo.js], instances: 2}
policy: [policy.yaml]
`;

export const OPEN_POLICY = `apiVersion: meshctl.dev/v1
kind: Policy
allow:
  - ingress -> front: any
  - front -> back: GET /called
`;

export function pairWorkplace(): Workplace {
  const workplace = new Workplace();
  workplace.write('echo.js', ECHO);
  workplace.write('mesh.yaml', TWO_SERVICES);
  workplace.write('policy.yaml', OPEN_POLICY);
  return workplace;
}
