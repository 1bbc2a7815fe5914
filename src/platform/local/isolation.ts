// `up --isolate`: a network namespace and a user of its own for every instance, so that a service reaches nothing but its own
// loopback and, through its proxy, what policy allows; and cannot read its proxy's memory or the mesh's state. Linux, root.
//
//   root namespace ── bridge 10.N.0.1 ──┬── veth ── namespace of web-0:    service (user A) ─► proxy (user P) ─► bridge
//                                       └── veth ── namespace of orders-0: proxy (user P) ─► service (user B)
//
// In each namespace nftables sends every TCP connection of the service's user to the proxy, drops whatever else it sends out, and lets
// in nothing but the proxy's mTLS ports. Names are made from the state directory's path: what a killed supervisor left is found again.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Fault, messageOf } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { programArguments } from '../node/programs.ts';
import type { StateDir } from './state-dir.ts';

/** The user of every proxy, and of the control socket's group. Services get the users after it. */
const PROXY_USER = 61_100;
const FIRST_SERVICE_USER = 61_101;
const CAPTURE_PORT = 15_001;
const FIRST_INBOUND_PORT = 15_010;
const MAX_INSTANCES = 5000;

/** One instance's own namespace. */
export interface Space {
  /** The proxy's address on the bridge. */
  readonly host: string;
  readonly capturePort: number;
  /** Where the proxy takes callers: one port for each of the service's, in their order. */
  inboundPort(index: number): number;
  /** The service's user. */
  readonly user: number;
  /** The words before a command that run it in here, as the proxy or as the service. */
  readonly asProxy: readonly string[];
  readonly asService: readonly string[];
  remove(): void;
}

export class Isolation {
  readonly #prefix: string;
  readonly #network: string;
  #next = 1;
  readonly socketPath: string;
  readonly socketGroup = PROXY_USER;

  private constructor(state: StateDir) {
    const hash = sha256(state.root);
    this.#prefix = `mctl${hash.slice(0, 6)}`;
    this.#network = `10.${128 + (Number.parseInt(hash.slice(0, 4), 16) % 100)}`;
    this.socketPath = join('/run', `meshctl-${hash.slice(0, 12)}`, 'ctl.sock');
  }

  /** Removes what an earlier run left, and makes the bridge. Throws ISOLATION with what is missing. */
  static create(state: StateDir): Isolation {
    const isolation = new Isolation(state);
    isolation.#check();
    isolation.remove();
    const bridge = isolation.#prefix;
    run('ip', 'link', 'add', 'name', bridge, 'type', 'bridge');
    run('ip', 'addr', 'add', `${isolation.#network}.0.1/16`, 'dev', bridge);
    run('ip', 'link', 'set', bridge, 'up');
    const directory = dirname(isolation.socketPath);
    mkdirSync(directory, { recursive: true, mode: 0o750 });
    chownSync(directory, 0, PROXY_USER);
    chmodSync(directory, 0o750);
    return isolation;
  }

  /** Removes what an isolated run of this state directory left, if there was one. */
  static forget(state: StateDir): void {
    const isolation = new Isolation(state);
    if (!existsSync(dirname(isolation.socketPath))) return;
    isolation.remove();
    rmSync(dirname(isolation.socketPath), { recursive: true, force: true });
    rmSync(isolation.sharedDirectory, { recursive: true, force: true });
  }

  /** The words before a command that run it as the proxies' user in the root namespace: the ingress. */
  get asProxy(): readonly string[] {
    return asUser(PROXY_USER);
  }

  /** A namespace for one instance with so many ports. */
  space(ports: number): Space {
    const index = this.#next++;
    if (index > MAX_INSTANCES) throw new Fault('ISOLATION', 'conflict', `more than ${MAX_INSTANCES} instances were started`);
    const name = `${this.#prefix}-${index}`;
    const outside = `${this.#prefix}h${index}`;
    const host = `${this.#network}.${(index >> 8) + 1}.${index & 0xff}`;
    const user = FIRST_SERVICE_USER + index;
    run('ip', 'netns', 'add', name);
    run('ip', 'link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    run('ip', 'link', 'set', outside, 'master', this.#prefix, 'up');
    run('ip', '-n', name, 'link', 'set', 'lo', 'up');
    run('ip', '-n', name, 'addr', 'add', `${host}/16`, 'dev', 'eth0');
    run('ip', '-n', name, 'link', 'set', 'eth0', 'up');
    // A route to everywhere, so that a connection to any address is made, and captured.
    run('ip', '-n', name, 'route', 'add', 'default', 'via', `${this.#network}.0.1`);
    const inbound = Array.from({ length: ports }, (_, i) => FIRST_INBOUND_PORT + i);
    feed(rules(user, inbound), 'ip', 'netns', 'exec', name, 'nft', '-f', '-');
    const enter = ['ip', 'netns', 'exec', name];
    return {
      host,
      user,
      capturePort: CAPTURE_PORT,
      inboundPort: (i) => FIRST_INBOUND_PORT + i,
      asProxy: [...enter, ...asUser(PROXY_USER)],
      asService: [...enter, ...asUser(user)],
      remove: () => attempt('ip', 'netns', 'del', name),
    };
  }

  /** Where sockets for services lie: every user may pass through, nobody may look. */
  get sharedDirectory(): string {
    return `${dirname(this.socketPath)}-w`;
  }

  /** Every namespace and the bridge, whoever made them. */
  remove(): void {
    const names = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.split(' ')[0] ?? '');
    for (const name of names) if (name.startsWith(`${this.#prefix}-`)) attempt('ip', 'netns', 'del', name);
    attempt('ip', 'link', 'del', this.#prefix);
  }

  #check(): void {
    const wrong = (what: string, hint: string): Fault => new Fault('ISOLATION', 'usage', `cannot isolate: ${what}`, { hint });
    if (process.platform !== 'linux') throw wrong('network namespaces are Linux', 'run `up` without --isolate');
    if (process.getuid?.() !== 0) throw wrong('root is needed', 'run it with sudo, or without --isolate');
    for (const [tool, flag, from] of [
      ['ip', '-V', 'iproute2'],
      ['nft', '-v', 'nftables'],
      ['setpriv', '--version', 'util-linux'],
    ] as const) {
      if (!attempt(tool, flag)) throw wrong(`\`${tool}\` is missing`, `install ${from}`);
    }
    const program = programArguments('proxy').at(-1) ?? '';
    for (const file of [process.execPath, program]) {
      if (!attempt(...(asUser(PROXY_USER) as [string, ...string[]]), 'test', '-r', file))
        throw wrong(`the proxies' user cannot read ${file}`, 'install meshctl where every user can read it');
    }
  }
}

function asUser(user: number): string[] {
  return ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--inh-caps=-all', '--no-new-privs'];
}

// What leaves is judged after the redirect has given it its way: before, a captured connection still seems to go out.
function rules(user: number, inbound: readonly number[]): string {
  const ports = inbound.length === 0 ? '' : `    tcp dport { ${inbound.join(', ')} } accept\n`;
  return `table ip capture {
  chain output {
    type nat hook output priority -100;
    meta skuid ${user} ip daddr 127.0.0.0/8 return
    meta skuid ${user} meta l4proto tcp redirect to :${CAPTURE_PORT}
  }
}
table inet fence {
  chain leave {
    type filter hook postrouting priority 0;
    meta skuid ${user} oifname != "lo" drop
  }
  chain input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state established,related accept
${ports}  }
}
`;
}

function run(...argv: [string, ...string[]]): void {
  feed('', ...argv);
}

function feed(input: string, ...argv: [string, ...string[]]): void {
  const [command, ...args] = argv;
  try {
    execFileSync(command, args, { input, stdio: ['pipe', 'ignore', 'pipe'] });
  } catch (cause) {
    throw new Fault('ISOLATION', 'unavailable', `\`${argv.join(' ')}\` failed: ${messageOf(cause)}`, { cause });
  }
}

function attempt(...argv: [string, ...string[]]): boolean {
  const [command, ...args] = argv;
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
