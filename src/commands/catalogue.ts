// All nouns and verbs as data: the source of help, completions and docs. Loads no command's code.
import type { Run } from './context.ts';

export interface OptionSpec {
  /** As commander reads it: `-o, --output <format>`. */
  readonly flags: string;
  readonly description: string;
  /** For completion. */
  readonly values?: readonly string[];
  /** May be given more than once. */
  readonly repeatable?: true;
}

export interface CommandSpec {
  readonly path: readonly string[];
  readonly summary: string;
  /** As commander reads them: `<file...>`, `[service]`. */
  readonly arguments?: readonly { readonly name: string; readonly description: string }[];
  readonly options?: readonly OptionSpec[];
  readonly examples: readonly string[];
  readonly exitCodes: string;
  readonly load: () => Promise<{ readonly run: Run }>;
}

const STATE: OptionSpec = {
  flags: '--state <dir>',
  description: 'state directory of the mesh (default: MESHCTL_STATE, the nearest .meshctl, or the one mesh that runs)',
};
const DIR: OptionSpec = {
  flags: '--dir <dir>',
  description: "the authority's directory, outside a mesh (default: that of the mesh that --state means)",
};
const PASSPHRASE: OptionSpec = {
  flags: '--passphrase-file <file>',
  description: 'its first line is the passphrase (default: asked for on a terminal)',
};
const KEY_TYPE: OptionSpec = {
  flags: '--key-type <type>',
  description: 'p256 (default), p384, rsa2048, rsa3072, rsa4096 or ed25519',
  values: ['p256', 'p384', 'rsa2048', 'rsa3072', 'rsa4096', 'ed25519'],
};
const DRY_RUN: OptionSpec = { flags: '--dry-run', description: 'change nothing; say what would be done' };
const SETTLE: OptionSpec = { flags: '--timeout <time>', description: 'how long to wait until every proxy has taken it (default: 5s)' };
const SINCE: OptionSpec = { flags: '--since <time>', description: 'how far back to look (default: 24h, at most what is kept)' };
const MESH_FILE: OptionSpec = {
  flags: '--mesh <file>',
  description: 'mesh file that knows the services (default: the nearest mesh.yaml beside or above)',
};
const POLICY: OptionSpec = {
  flags: '--policy <path>',
  description: 'policy file or directory; may be repeated (default: the one in force, else that of the mesh file)',
  repeatable: true,
};
const REQUEST: readonly OptionSpec[] = [
  { flags: '--method <method>', description: 'GET, POST, …' },
  { flags: '--path <path>', description: 'as a client sends it; normalised as proxies do' },
  { flags: '--grpc <name>', description: 'a call of gRPC: pkg.Service/Method' },
  { flags: '--tcp', description: 'a TCP connection' },
  { flags: '--header <field>', description: 'NAME=VALUE; may be repeated', repeatable: true },
  { flags: '--port <port>', description: 'number or name of a port of the callee' },
  {
    flags: '--at <point>',
    description: 'who enforces policies of Istio: sidecar, ztunnel or waypoint (default: as the files say)',
    values: ['sidecar', 'ztunnel', 'waypoint'],
  },
  { flags: '--token <file>', description: "claims of the request's token as JSON, or none; for policies of Istio" },
  { flags: '--root-namespace <name>', description: "Istio's root namespace (default: istio-system)" },
];
const CALL = [
  { name: '<from>', description: 'a service, sa:NAMESPACE/NAME, id:SPIFFE-ID, ns:NAMESPACE (any service of it) or none' },
  { name: '<to>', description: 'a service, with :PORT if it matters, or id:SPIFFE-ID' },
];
const output = (...formats: string[]): OptionSpec => ({
  flags: '-o, --output <format>',
  description: `${formats.join(' or ')} (default: ${formats[0]})`,
  values: formats,
});
const ANSWER = '0 done; 2 usage or unreadable input; 3 the mesh does not answer; 4 a bug of meshctl';

export const GROUPS: Readonly<Record<string, string>> = {
  certs: 'the authority and its certificates: issue, renew, rotate, revoke, inspect, verify, lint, list, back up',
  policy: 'lint, prove, test, explain and apply identity policies',
  proxy: 'the bundled proxies of the mesh',
};

export const CATALOGUE: readonly CommandSpec[] = [
  {
    path: ['demo'],
    summary: 'run a small shop of real services behind real mTLS proxies, with load',
    options: [
      { flags: '-d, --detach', description: 'run in the background; prints where the ingress is' },
      { flags: '--duration <time>', description: 'end after this time, 0 for never (default: 30s without a terminal, else never)' },
      { flags: '--load <rps>', description: 'requests per second of the load (default: 10)' },
      { flags: '--keep', description: 'keep the state directory afterwards' },
      output('table', 'json'),
    ],
    examples: ['meshctl demo', 'meshctl demo -d', 'meshctl demo --duration 10s --load 20'],
    exitCodes: '0 ended as asked; 1 something is in the way; 3 not ready in time; 4 a bug of meshctl',
    load: () => import('./demo.ts'),
  },
  {
    path: ['init'],
    summary: 'write a commented mesh.yaml and a first policy.yaml',
    arguments: [{ name: '[dir]', description: 'where to (default: here)' }],
    options: [{ flags: '--force', description: 'overwrite files that are there' }],
    examples: ['meshctl init', 'meshctl init shop'],
    exitCodes: '0 written; 1 a file is there already; 2 usage',
    load: () => import('./init.ts'),
  },
  {
    path: ['up'],
    summary: 'run the services of a mesh file, each instance behind its own proxy; again: apply what changed',
    options: [
      { flags: '-f, --file <file>', description: 'mesh file (default: the nearest mesh.yaml upwards)' },
      { flags: '-d, --detach', description: 'run in the background' },
      { flags: '--isolate', description: 'a network and users of its own for every instance (Linux, root)' },
      { flags: '--reset-policy', description: "take the mesh file's policy again, instead of the one that `policy apply` set" },
      { flags: '--timeout <time>', description: 'how long -d waits until everything is ready (default: 30s)' },
      STATE,
      output('table', 'json'),
    ],
    examples: ['meshctl up', 'meshctl up -d', 'meshctl up -f shop/mesh.yaml --reset-policy'],
    exitCodes:
      '0 stopped as asked, or running (-d); 1 the state directory belongs to another mesh, or a port is in use; 2 the mesh file has errors; 3 not ready in time',
    load: () => import('./up.ts'),
  },
  {
    path: ['down'],
    summary: 'stop the mesh and everything it started',
    options: [STATE],
    examples: ['meshctl down'],
    exitCodes: '0 stopped; 3 no mesh is running',
    load: () => import('./down.ts'),
  },
  {
    path: ['status'],
    summary: 'what runs, what does not, and why',
    options: [STATE, output('table', 'json')],
    examples: ['meshctl status', 'meshctl status -o json'],
    exitCodes: '0 everything is ready; 1 something is not; 2 usage; 3 the mesh does not answer',
    load: () => import('./status.ts'),
  },
  {
    path: ['logs'],
    summary: "output of the mesh's services",
    arguments: [{ name: '[service]', description: 'a service or instance (default: all)' }],
    options: [
      { flags: '-f, --follow', description: 'go on as lines come' },
      { flags: '--tail <lines>', description: 'last lines of each (default: 20, 0 for none)' },
      { flags: '--proxy', description: "the proxies' logs instead" },
      STATE,
    ],
    examples: ['meshctl logs', 'meshctl logs orders -f', 'meshctl logs payments --proxy'],
    exitCodes: '0 done; 1 no such service; 2 usage; 3 no mesh',
    load: () => import('./logs.ts'),
  },
  {
    path: ['top'],
    summary: 'golden signals, live',
    options: [
      { flags: '--interval <time>', description: 'between two readings (default: 1s)' },
      { flags: '--window <time>', description: 'rates and latencies over this time (default: 10s)' },
      { flags: '--count <n>', description: 'end after n readings' },
      { flags: '--once', description: 'one reading: the same as --count 1' },
      STATE,
      {
        flags: '-o, --output <format>',
        description: 'table or json, one object a reading (default: a live screen on a terminal, else table)',
        values: ['table', 'json'],
      },
    ],
    examples: ['meshctl top', 'meshctl top --once', 'meshctl top --count 5 -o json'],
    exitCodes: ANSWER,
    load: () => import('./top.ts'),
  },
  {
    path: ['stat'],
    summary: 'golden signals as a table: requests, success, latency, CPU, memory, requests in flight',
    arguments: [{ name: '[service]', description: 'one service (default: all)' }],
    options: [{ flags: '--window <time>', description: 'over this time until now (default: 10s)' }, STATE, output('table', 'json')],
    examples: ['meshctl stat', 'meshctl stat payments --window 1m -o json'],
    exitCodes: `${ANSWER}; 1 no such service`,
    load: () => import('./stat.ts'),
  },
  {
    path: ['trace'],
    summary: 'follow one request: where it went, who called, what policy said, how long it took',
    arguments: [{ name: '<id>', description: 'request id, trace id, or a unique prefix of at least 8 characters' }],
    options: [STATE, output('table', 'json')],
    examples: ['meshctl trace 3f2a7c1e-8a44-4f0e-9a53-0c7a4a6f9d10', 'meshctl trace 3f2a7c1e -o json'],
    exitCodes: '0 found; 1 unknown id; 2 usage, or several ids begin like this; 3 the mesh does not answer',
    load: () => import('./trace.ts'),
  },
  {
    path: ['certs', 'init'],
    summary: 'make an authority: a root and its intermediates, or intermediates below a root that you have',
    options: [
      { flags: '--trust-domain <name>', description: "whom it signs for (default: the mesh file's)" },
      KEY_TYPE,
      { flags: '--root-life <time>', description: 'life of the root (default: 10y)' },
      { flags: '--intermediate-life <time>', description: 'life of the intermediates (default: 5y, never longer than the root)' },
      { flags: '--name-constraints', description: 'the root vouches for URIs of the trust domain only, which then must be a DNS name' },
      PASSPHRASE,
      { flags: '--insecure-no-passphrase', description: "keep the root's key in clear" },
      { flags: '--root-offline <file>', description: "write the root's key there and keep only the intermediates" },
      { flags: '--root-cert <file>', description: 'a root that you have; with --root-key it signs the intermediates' },
      { flags: '--root-key <file>', description: 'its key, which is read and not kept' },
      { flags: '--root-p12 <file>', description: 'root and key in a PKCS#12' },
      { flags: '--csr <dir>', description: 'with --root-cert and no key: write signing requests there for whoever holds it' },
      {
        flags: '--intermediate-cert <file>',
        description: 'an intermediate that was signed for such a request; may be repeated',
        repeatable: true,
      },
      { flags: '--force', description: 'move an authority that is there aside and begin anew' },
      DRY_RUN,
      DIR,
      STATE,
      output('table', 'json'),
    ],
    examples: [
      'meshctl certs init --passphrase-file pass.txt',
      'meshctl certs init --dir ca --trust-domain shop.example --root-offline root-key.pem --name-constraints',
      'meshctl certs init --root-cert company-root.pem --csr requests/',
    ],
    exitCodes: '0 made; 1 there is one already, or a mesh uses it; 2 usage or unreadable files',
    load: () => import('./certs/init.ts'),
  },
  {
    path: ['certs', 'issue'],
    summary: 'issue certificates: key, leaf, chain and bundle; or sign a request',
    arguments: [{ name: '[name...]', description: 'SERVICE, NAMESPACE/SERVICE or a whole SPIFFE id; for other kinds any name' }],
    options: [
      { flags: '--out <dir>', description: 'write DIR/NAME/{key,leaf,chain,bundle}.pem, keys 0600' },
      {
        flags: '--kind <kind>',
        description: 'peer (default: an SVID), server or ingress (DNS names and addresses), or client',
        values: ['peer', 'server', 'client', 'ingress'],
      },
      { flags: '--dns <name>', description: 'a DNS name, for server, ingress and client; may be repeated', repeatable: true },
      { flags: '--ip <address>', description: 'an IP address, for the same; may be repeated', repeatable: true },
      { flags: '--csr <file>', description: 'sign this request (PEM or DER) instead of making a key' },
      { flags: '--from <file>', description: 'more names, one a line' },
      { flags: '--ttl <time>', description: "life (default: the mesh file's `certificates.ttl`, 24h)" },
      {
        flags: '--layout <layout>',
        description: 'names of the files: meshctl (default), tls or spiffe-helper',
        values: ['meshctl', 'tls', 'spiffe-helper'],
      },
      KEY_TYPE,
      { flags: '--print-key', description: 'print the private key too (without --out)' },
      DRY_RUN,
      DIR,
      STATE,
      output('table', 'json'),
    ],
    examples: [
      'meshctl certs issue web --out ./certs',
      'meshctl certs issue web -o json',
      'meshctl certs issue shop --kind ingress --dns shop.example.com --ip 203.0.113.7 --out ./certs',
      'meshctl certs issue web --csr web.csr > chain.pem',
    ],
    exitCodes: '0 issued; 1 refused, with the rule; 2 usage; 3 the mesh does not answer',
    load: () => import('./certs/issue.ts'),
  },
  {
    path: ['certs', 'renew'],
    summary: 'renew what `certs issue --out` wrote, when it is due',
    arguments: [{ name: '<file>', description: 'DIR/NAME, or a chain with its key beside it' }],
    options: [
      { flags: '--daemon', description: 'go on until interrupted: at a share of life with jitter, again with back-off when it fails' },
      { flags: '--at <share>', description: 'share of life after which it is due (default: 66.7%)' },
      { flags: '--force', description: 'also when it is not due' },
      { flags: '--rekey', description: 'a new key too' },
      { flags: '--key <file>', description: 'its key (default: the one beside it)' },
      { flags: '--exec <command>', description: 'run this afterwards, without a shell' },
      {
        flags: '--signal <name>',
        description: 'send HUP, USR1, USR2, TERM or INT afterwards',
        values: ['HUP', 'USR1', 'USR2', 'TERM', 'INT'],
      },
      { flags: '--pid-file <file>', description: 'to the process whose pid stands there' },
      { flags: '--error-unchanged', description: 'exit 1 when it was not due' },
      DIR,
      STATE,
      output('table', 'json'),
    ],
    examples: ['meshctl certs renew certs/web', 'meshctl certs renew certs/web --daemon --signal HUP --pid-file nginx.pid'],
    exitCodes:
      '0 renewed, or not due; 1 refused, or not due with --error-unchanged; 2 usage or unreadable files; 3 the mesh does not answer',
    load: () => import('./certs/renew.ts'),
  },
  {
    path: ['certs', 'rotate'],
    summary: 'new leaves, a new intermediate, or a new root, while traffic goes on; every step is looked at by handshakes from every proxy',
    arguments: [
      { name: '<what>', description: 'leaf, intermediate or root' },
      { name: '[service...]', description: 'for leaf: services or instances (default: all)' },
    ],
    options: [
      { flags: '--plan', description: 'only show the steps, what is done, and what the next waits for' },
      { flags: '--step', description: 'root: one step only' },
      { flags: '--rollback', description: 'root: take back a rotation that has not dropped the old root' },
      { flags: '--accept-loss', description: 'root: drop the old root though unexpired certificates below it are named' },
      { flags: '--emergency', description: 'intermediate: it was stolen; nobody believes it any more' },
      { flags: '--root-key <file>', description: "the root's key, when it is kept elsewhere" },
      { flags: '--root-cert <file>', description: 'root: the new root is this one, by --root-key' },
      { flags: '--root-offline <file>', description: "root: write the new root's key there and do not keep it" },
      PASSPHRASE,
      { flags: '--insecure-no-passphrase', description: "root: keep the new root's key in clear" },
      KEY_TYPE,
      { flags: '--root-life <time>', description: 'life of a new root (default: 10y)' },
      { flags: '--intermediate-life <time>', description: 'life of new intermediates (default: 5y)' },
      { flags: '--timeout <time>', description: 'how long proxies have to follow a step (default: 20s)' },
      DRY_RUN,
      DIR,
      STATE,
      output('table', 'json'),
    ],
    examples: [
      'meshctl certs rotate leaf web',
      'meshctl certs rotate root --plan',
      'meshctl certs rotate root --step',
      'meshctl certs rotate root --rollback',
    ],
    exitCodes: '0 done; 1 refused: certificates that may still be in use are named; 2 usage; 3 a proxy has not followed in time',
    load: () => import('./certs/rotate.ts'),
  },
  {
    path: ['certs', 'revoke'],
    summary: 'within a second no proxy believes a certificate, or an identity, and what it has open is cut',
    arguments: [
      {
        name: '<subject>',
        description: 'a serial, or SERVICE, NAMESPACE/SERVICE or a whole SPIFFE id: that one gets no more until `certs allow`',
      },
    ],
    options: [
      {
        flags: '--reason <reason>',
        description: 'unspecified (default), keyCompromise, cACompromise, superseded or cessationOfOperation',
        values: ['unspecified', 'keyCompromise', 'cACompromise', 'superseded', 'cessationOfOperation'],
      },
      { flags: '--prove', description: 'have it tried at every proxy, and show that no byte is answered' },
      SETTLE,
      DRY_RUN,
      DIR,
      STATE,
      output('table', 'json'),
    ],
    examples: ['meshctl certs revoke web --prove', 'meshctl certs revoke 5f0c…41 --reason keyCompromise'],
    exitCodes:
      '0 revoked (and proved); 1 no such certificate, or --prove found an answer; 2 usage, or --prove cannot tell; 3 a proxy has not taken it in time',
    load: () => import('./certs/revoke.ts'),
  },
  {
    path: ['certs', 'allow'],
    summary: 'end what `certs revoke NAME` began: the identity gets certificates again',
    arguments: [{ name: '<name>', description: 'SERVICE, NAMESPACE/SERVICE or a whole SPIFFE id' }],
    options: [SETTLE, DRY_RUN, DIR, STATE, output('table', 'json')],
    examples: ['meshctl certs allow web'],
    exitCodes: '0 allowed; 1 it was not blocked; 2 usage; 3 a proxy has not taken it in time',
    load: () => import('./certs/allow.ts'),
  },
  {
    path: ['certs', 'crl'],
    summary: 'the lists of revocations, one for each issuer, signed',
    options: [
      { flags: '--out <dir>', description: 'write DIR/ISSUER.crl (DER)' },
      { flags: '--sign-root', description: "sign the root's list anew, with its key" },
      { flags: '--root-key <file>', description: 'that key, when it is kept elsewhere' },
      PASSPHRASE,
      DIR,
      STATE,
      output('pem', 'json'),
    ],
    examples: ['meshctl certs crl > lists.pem', 'meshctl certs crl --out crl/'],
    exitCodes: ANSWER,
    load: () => import('./certs/crl.ts'),
  },
  {
    path: ['certs', 'log'],
    summary: 'what happened to certificates: issued, revoked, blocked, rotated; and whether the record is whole',
    options: [
      { flags: '--limit <n>', description: 'the last n rows (default: 100)' },
      { flags: '--since <time>', description: 'only rows of this time until now' },
      {
        flags: '--kind <kind>',
        description: 'only rows of this kind',
        values: ['issued', 'revoked', 'blocked', 'allowed', 'authority', 'list'],
      },
      { flags: '--match <text>', description: 'only rows that hold this text: a serial, a service' },
      { flags: '--check', description: 'follow the chain of hashes; exit 1 when a row was changed or taken out' },
      { flags: '--expect <hash>', description: 'a hash that was kept elsewhere must be on it: finds out whether the end was cut off' },
      DIR,
      STATE,
      output('table', 'json'),
    ],
    examples: ['meshctl certs log --kind revoked', 'meshctl certs log --check'],
    exitCodes: '0 done; 1 the record was changed; 2 usage; 3 the mesh does not answer',
    load: () => import('./certs/log.ts'),
  },
  {
    path: ['certs', 'backup'],
    summary: 'the whole authority, keys and record, in one encrypted file (age)',
    arguments: [{ name: '<file>', description: 'where to' }],
    options: [PASSPHRASE, { flags: '--force', description: 'overwrite the file' }, DRY_RUN, DIR, STATE, output('table', 'json')],
    examples: ['meshctl certs backup authority.age --passphrase-file pass.txt'],
    exitCodes: '0 written; 1 the file is there already; 2 usage; 3 the mesh does not answer',
    load: () => import('./certs/backup.ts'),
  },
  {
    path: ['certs', 'restore'],
    summary: 'bring an authority back from its backup',
    arguments: [{ name: '<file>', description: 'what `certs backup` wrote' }],
    options: [
      PASSPHRASE,
      { flags: '--force', description: 'move an authority that is there aside' },
      DRY_RUN,
      DIR,
      STATE,
      output('table', 'json'),
    ],
    examples: ['meshctl certs restore authority.age', 'meshctl certs restore authority.age --dry-run --dir /tmp/look'],
    exitCodes: '0 restored; 1 there is one already, or a mesh uses it; 2 usage, no backup, or the passphrase does not open it',
    load: () => import('./certs/restore.ts'),
  },
  {
    path: ['certs', 'export'],
    summary: 'put certificates into the container that another program wants: PKCS#12, PKCS#7, DER or PEM',
    arguments: [{ name: '<chain>', description: 'DIR/NAME that `certs issue` wrote, or a chain (PEM or DER)' }],
    options: [
      { flags: '--to <format>', description: 'p12 (default), p7b, der (the leaf) or pem', values: ['p12', 'p7b', 'der', 'pem'] },
      { flags: '--out <file>', description: 'where to' },
      { flags: '--key <file>', description: 'for p12: the key (default: the one beside the chain)' },
      PASSPHRASE,
      { flags: '--force', description: 'overwrite the file' },
    ],
    examples: [
      'meshctl certs export certs/web --out web.p12 --passphrase-file pass.txt',
      'meshctl certs export certs/web --to p7b --out web.p7b',
    ],
    exitCodes: '0 written; 1 the file is there already; 2 usage or unreadable files',
    load: () => import('./certs/export.ts'),
  },
  {
    path: ['certs', 'inspect'],
    summary: 'what is in a certificate, chain, bundle, key, signing request or list of revocations, or what a server shows',
    arguments: [
      {
        name: '<file...>',
        description: 'PEM, DER, PKCS#12 or PKCS#7, - for stdin, HOST:PORT of a TLS server, or a SERVICE of the running mesh',
      },
    ],
    options: [PASSPHRASE, { flags: '--short', description: 'a line for each' }, STATE, output('table', 'json')],
    examples: [
      'meshctl certs inspect ./certs/web/chain.pem',
      'meshctl certs inspect - < leaf.pem -o json',
      'meshctl certs inspect shop.example.com:443',
    ],
    exitCodes: '0 read; 2 nothing readable in it; 3 the server does not answer',
    load: () => import('./certs/inspect.ts'),
  },
  {
    path: ['certs', 'verify'],
    summary: 'may a certificate be believed? exit 0 yes, 1 no, 2 cannot tell, with the certificate and the rule for each reason',
    arguments: [{ name: '<chain>', description: 'the leaf first, PEM or DER; the rest in any order; - for stdin' }],
    options: [
      { flags: '--roots <file>', description: 'certificates that are trusted; may be repeated', repeatable: true },
      { flags: '--intermediates <file>', description: 'certificates that may lie between; may be repeated', repeatable: true },
      {
        flags: '--crl <file>',
        description: 'lists of revocations; may be repeated (default: revocation is not looked at)',
        repeatable: true,
      },
      { flags: '--at <time>', description: 'when, in RFC 3339 (default: now)' },
      { flags: '--purpose <purpose>', description: 'server, client or any (default: any)', values: ['server', 'client', 'any'] },
      {
        flags: '--profile <profile>',
        description: 'spiffe (default) or rfc5280, which leaves the SPIFFE rules out',
        values: ['spiffe', 'rfc5280'],
      },
      { flags: '--identity <id>', description: 'the SPIFFE id that is wanted' },
      { flags: '--trust-domain <name>', description: 'the trust domain that is wanted' },
      { flags: '--dns <name>', description: 'the DNS name that is wanted' },
      output('table', 'json'),
    ],
    examples: [
      'meshctl certs verify web/chain.pem --roots bundle.pem',
      'meshctl certs verify chain.pem --roots roots.pem --crl ca.crl --identity spiffe://shop.local/ns/default/sa/web',
    ],
    exitCodes: '0 valid; 1 not valid; 2 cannot tell (document on stdout), or usage (nothing on stdout)',
    load: () => import('./certs/verify.ts'),
  },
  {
    path: ['certs', 'lint'],
    summary: 'is a certificate as it should be, by the profile of the mesh and RFC 5280?',
    arguments: [{ name: '<file...>', description: 'PEM or DER; - for stdin' }],
    options: [
      { flags: '--fail-on <severity>', description: 'error, warning or info (default: error)', values: ['error', 'warning', 'info'] },
      {
        flags: '--profile <profile>',
        description: 'spiffe (default) or rfc5280, for certificates that are no SVIDs',
        values: ['spiffe', 'rfc5280'],
      },
      output('table', 'json', 'sarif', 'junit', 'github', 'markdown'),
    ],
    examples: ['meshctl certs lint web/chain.pem', 'meshctl certs lint *.pem --fail-on warning -o sarif'],
    exitCodes: '0 nothing at or above --fail-on; 1 findings; 2 usage or unreadable files',
    load: () => import('./certs/lint.ts'),
  },
  {
    path: ['certs', 'bundle'],
    summary: 'the trust bundle of the mesh, or of files: PEM, or the JWKS that SPIFFE tools read; and the bundles of other trust domains',
    arguments: [
      {
        name: '[word...]',
        description:
          'root certificates (default: those of the mesh); or set TRUST-DOMAIN [FILE], list, show TRUST-DOMAIN, refresh [TRUST-DOMAIN], delete TRUST-DOMAIN',
      },
    ],
    options: [
      { flags: '--endpoint <url>', description: 'set: where that trust domain publishes its bundle (https)' },
      { flags: '--endpoint-id <id>', description: 'set: the SPIFFE id that the endpoint proves, instead of a certificate of the web' },
      { flags: '--force', description: 'set, refresh: take a bundle that is older, or empty' },
      DIR,
      STATE,
      {
        flags: '-o, --output <format>',
        description: 'pem or spiffe (default: pem); table or json for list',
        values: ['pem', 'spiffe', 'table', 'json'],
      },
    ],
    examples: [
      'meshctl certs bundle > bundle.pem',
      'meshctl certs bundle -o spiffe > bundle.json',
      'meshctl certs bundle set partner.example partner.json --endpoint https://partner.example/bundle.json',
      'meshctl certs bundle refresh',
    ],
    exitCodes:
      '0 done; 1 an older bundle, or no such trust domain; 2 usage or unreadable files, or one of them is no authority; 3 the mesh or the endpoint does not answer',
    load: () => import('./certs/bundle.ts'),
  },
  {
    path: ['certs', 'serve'],
    summary: 'serve the trust bundle and the lists of revocations over HTTPS, for other trust domains and tools',
    options: [
      { flags: '--listen <address>', description: 'HOST:PORT (default: 127.0.0.1:0)' },
      { flags: '--cert <file>', description: 'chain to show; without it plain HTTP on loopback' },
      { flags: '--key <file>', description: 'its key' },
      DIR,
      STATE,
    ],
    examples: ['meshctl certs serve', 'meshctl certs serve --listen 0.0.0.0:8443 --cert certs/shop/chain.pem --key certs/shop/key.pem'],
    exitCodes: '0 stopped as asked; 1 the port is in use; 2 usage; 3 the mesh does not answer',
    load: () => import('./certs/serve.ts'),
  },
  {
    path: ['certs', 'list'],
    summary: 'every identity that holds a certificate: serial, generation, share of life left, connections on an older one',
    options: [
      { flags: '--expiring <share>', description: 'only those with less of their life left (20%); exit 1 when there are any' },
      DIR,
      STATE,
      output('table', 'json'),
    ],
    examples: ['meshctl certs list', 'meshctl certs list --expiring 20%'],
    exitCodes: '0 done, or none is expiring; 1 some are; 2 usage; 3 the mesh does not answer; 4 a bug of meshctl',
    load: () => import('./certs/list.ts'),
  },
  {
    path: ['schema'],
    summary: 'JSON Schema of a document that meshctl reads, for editors',
    arguments: [{ name: '[kind]', description: 'Mesh, Policy, PolicyTest or LintBaseline (default: list them)' }],
    examples: ['meshctl schema', 'meshctl schema Policy > policy.schema.json'],
    exitCodes: '0 done; 2 no such kind',
    load: () => import('./schema.ts'),
  },
  {
    path: ['policy', 'lint'],
    summary: 'find what is wrong in policy files, also in those of Istio, Linkerd and Kubernetes',
    arguments: [
      { name: '[path...]', description: 'files, directories or patterns (k8s/**/*.yaml), judged together as one policy; - for stdin' },
    ],
    options: [
      {
        flags: '--mesh <file>',
        description: 'mesh file that knows the services (default: the nearest mesh.yaml beside or above the first file)',
      },
      { flags: '--fail-on <severity>', description: 'error, warning or info (default: error)', values: ['error', 'warning', 'info'] },
      {
        flags: '--show <severity>',
        description: 'print findings from this severity on (default: info)',
        values: ['error', 'warning', 'info'],
      },
      { flags: '--rule <id>', description: 'look for this rule only; may be repeated, or a list with commas', repeatable: true },
      { flags: '--baseline <file>', description: 'findings of this file are known: they are neither printed nor counted' },
      { flags: '--write-baseline <file>', description: 'write the findings there, for --baseline, and end' },
      { flags: '--live', description: 'the policy in force in the running mesh, with the services of that mesh' },
      STATE,
      { flags: '--fix', description: 'mend what can be mended without a decision, in the files' },
      { flags: '--mesh-version <version>', description: 'the version of the other mesh, for rules that depend on it' },
      { flags: '--root-namespace <name>', description: "Istio's root namespace (default: istio-system)" },
      output('table', 'json', 'sarif', 'junit', 'github', 'markdown'),
    ],
    examples: [
      'meshctl policy lint policy.yaml',
      'meshctl policy lint k8s/ --fail-on warning -o sarif > lint.sarif',
      'meshctl policy lint k8s/ --write-baseline lint-baseline.json',
      'meshctl policy lint k8s/ --baseline lint-baseline.json -o github',
    ],
    exitCodes: '0 nothing at or above --fail-on; 1 findings; 2 usage or unreadable files',
    load: () => import('./policy/lint.ts'),
  },
  {
    path: ['policy', 'check'],
    summary: 'may one service call another? exit 0 yes, 1 no, 2 cannot tell',
    arguments: CALL.map(({ name, description }) => ({ name: name.replace(/<(.*)>/, '[$1]'), description })),
    options: [
      ...REQUEST,
      { flags: '--from-trace <id>', description: 'every hop of a recorded request instead of a caller and a callee' },
      POLICY,
      MESH_FILE,
      STATE,
      output('table', 'json'),
    ],
    examples: [
      'meshctl policy check web orders --method GET --path /orders/1',
      'meshctl policy check --from-trace 0192f3c1 --policy policy.yaml',
      'meshctl policy check none payments --policy policy.yaml',
    ],
    exitCodes: '0 allowed; 1 denied; 2 cannot tell without what is named (document on stdout), or usage (nothing on stdout)',
    load: () => import('./policy/check.ts'),
  },
  {
    path: ['policy', 'explain'],
    summary: 'why a call is allowed or denied, stage by stage, and what would allow it',
    arguments: CALL,
    options: [...REQUEST, POLICY, MESH_FILE, STATE, output('table', 'json')],
    examples: ['meshctl policy explain web payments --method POST --path /charge'],
    exitCodes: '0 allowed; 1 denied; 2 cannot tell, or usage',
    load: () => import('./policy/explain.ts'),
  },
  {
    path: ['policy', 'verify'],
    summary: 'prove the invariants of a policy over every identity, with a path of requests where one is broken',
    arguments: [
      { name: '[path...]', description: 'policy files or directories (default: the policy in force, else that of the mesh file)' },
    ],
    options: [MESH_FILE, STATE, output('table', 'json')],
    examples: ['meshctl policy verify policy.yaml'],
    exitCodes: '0 all hold; 1 one is violated; 2 cannot tell, usage or unreadable files',
    load: () => import('./policy/verify.ts'),
  },
  {
    path: ['policy', 'test'],
    summary: 'run the tests of a policy',
    arguments: [
      { name: '[path...]', description: 'policy and test files or directories (default: the policy in force, else that of the mesh file)' },
    ],
    options: [
      { flags: '--coverage', description: 'also list the grants that no test touched' },
      MESH_FILE,
      STATE,
      { flags: '--watch', description: 'run them again whenever a file changes, until Ctrl-C' },
      output('tap', 'json', 'junit'),
    ],
    examples: [
      'meshctl policy test policy.yaml',
      'meshctl policy test policies/ --coverage',
      'meshctl policy test policies/ -o junit > report.xml',
    ],
    exitCodes: '0 all pass; 1 one fails; 2 usage, unreadable files, no tests',
    load: () => import('./policy/test.ts'),
  },
  {
    path: ['policy', 'diff'],
    summary: 'what a change of policy allows that was not allowed, and what it takes away, each with a request that shows it',
    arguments: [
      {
        name: '<old>',
        description: 'a policy file or directory, policy/N (a revision of the running mesh), or a range of git revisions: main..HEAD',
      },
      { name: '[new...]', description: 'the same; after a range of revisions the paths that are compared' },
    ],
    options: [
      {
        flags: '--fail-if <what>',
        description: 'exit 1 when something widened, narrowed or changed',
        values: ['widened', 'narrowed', 'changed'],
      },
      MESH_FILE,
      STATE,
      output('table', 'json', 'markdown'),
    ],
    examples: [
      'meshctl policy diff policy.yaml new.yaml --fail-if widened',
      'meshctl policy diff policy/3 policy.yaml -o markdown',
      'meshctl policy diff main...HEAD --fail-if widened -- policies',
    ],
    exitCodes: '0 done; 1 what --fail-if names happened; 2 usage or unreadable files; 3 the mesh does not answer',
    load: () => import('./policy/diff.ts'),
  },
  {
    path: ['policy', 'graph'],
    summary: 'who may call whom, or what one service reaches',
    options: [
      { flags: '--from <service>', description: 'only what this service reaches, over any number of hops: its blast radius' },
      POLICY,
      MESH_FILE,
      STATE,
      output('table', 'json', 'dot', 'mermaid', 'svg'),
    ],
    examples: ['meshctl policy graph', 'meshctl policy graph --from web', 'meshctl policy graph -o svg > policy.svg'],
    exitCodes: '0 done; 1 no such service; 2 usage or unreadable files; 3 the mesh does not answer',
    load: () => import('./policy/graph.ts'),
  },
  {
    path: ['policy', 'import'],
    summary: 'turn policies of Istio, Linkerd or Kuma into a native one, and name what cannot be carried over',
    arguments: [{ name: '<path...>', description: 'files or directories, with the workloads that they are about; - for stdin' }],
    options: [
      { flags: '--trust-domain <name>', description: 'of the other mesh (default: as its configuration says, else cluster.local)' },
      { flags: '--root-namespace <name>', description: "Istio's root namespace (default: istio-system)" },
      output('yaml', 'json'),
    ],
    examples: ['meshctl policy import k8s/ > policy.yaml', 'meshctl policy import k8s/ -o json'],
    exitCodes: '0 all of it was carried over; 1 something was not; 2 usage or unreadable files',
    load: () => import('./policy/import.ts'),
  },
  {
    path: ['policy', 'export'],
    summary: 'turn a native policy into resources of Istio, Linkerd or Kubernetes, and name what they cannot say',
    arguments: [
      { name: '[path...]', description: 'policy files or directories (default: the policy in force, else that of the mesh file)' },
    ],
    options: [
      { flags: '--to <mesh>', description: 'istio, linkerd or kubernetes', values: ['istio', 'linkerd', 'kubernetes'] },
      { flags: '--label <key>', description: 'the label that pods carry the name of their service in (default: app)' },
      MESH_FILE,
      STATE,
      output('yaml', 'json'),
    ],
    examples: ['meshctl policy export --to istio policy.yaml > k8s/policy.yaml', 'meshctl policy export --to kubernetes'],
    exitCodes: '0 all of it was carried over; 1 something was not; 2 usage or unreadable files; 3 the mesh does not answer',
    load: () => import('./policy/export.ts'),
  },
  {
    path: ['policy', 'fmt'],
    summary: 'write native policies in one shape; comments stay',
    arguments: [{ name: '<path...>', description: 'policy files or directories; - for stdin, which is printed' }],
    options: [{ flags: '--check', description: 'change nothing; exit 1 when something would change' }],
    examples: ['meshctl policy fmt policies/', 'meshctl policy fmt --check policies/'],
    exitCodes: '0 done, or nothing to do; 1 with --check: something would change; 2 usage or unreadable files',
    load: () => import('./policy/fmt.ts'),
  },
  {
    path: ['policy', 'convert'],
    summary: 'print a native policy with its rules in the long or the short form',
    arguments: [{ name: '<file>', description: 'a policy file; - for stdin' }],
    options: [{ flags: '--to <form>', description: 'long or short', values: ['long', 'short'] }],
    examples: ['meshctl policy convert policy.yaml --to long'],
    exitCodes: '0 done; 2 usage or unreadable file',
    load: () => import('./policy/convert.ts'),
  },
  {
    path: ['policy', 'apply'],
    summary: 'change what the running proxies enforce; what widens and narrows is shown first',
    arguments: [{ name: '<path...>', description: 'policy files or directories, together the whole policy; - for stdin' }],
    options: [
      { flags: '--message <text>', description: 'why, for the history' },
      { flags: '--dry-run', description: 'only lint against the running mesh, and show what would change' },
      {
        flags: '--audit [all]',
        description: 'let pass what no rule allows, and report it; `--audit=all` also what floors and `deny` refuse',
        values: ['all'],
      },
      { flags: '--yes', description: 'mean `--audit=all`' },
      { flags: '--timeout <time>', description: 'how long to wait until every proxy has it (default: 5s)' },
      STATE,
      output('table', 'json'),
    ],
    examples: [
      'meshctl policy apply policy.yaml --message "close reviews"',
      'meshctl policy apply policies/ --dry-run',
      'meshctl policy apply policy.yaml --audit',
    ],
    exitCodes:
      '0 enforced by every proxy, or nothing changed; 1 the policy has errors; 2 usage or unreadable files; 3 the mesh, or a proxy, does not answer in time',
    load: () => import('./policy/apply.ts'),
  },
  {
    path: ['policy', 'rollback'],
    summary: 'put an earlier revision in force again, as a new one',
    arguments: [{ name: '[revision]', description: 'a number of `policy history` (default: the one before)' }],
    options: [
      { flags: '--dry-run', description: 'only show what would change' },
      { flags: '--timeout <time>', description: 'how long to wait until every proxy has it (default: 5s)' },
      STATE,
      output('table', 'json'),
    ],
    examples: ['meshctl policy rollback', 'meshctl policy rollback 3 --dry-run'],
    exitCodes:
      '0 enforced by every proxy; 1 no such revision, or it has errors in the mesh of today; 2 usage; 3 the mesh, or a proxy, does not answer in time',
    load: () => import('./policy/rollback.ts'),
  },
  {
    path: ['policy', 'denials'],
    summary: 'what was denied, and what only audit mode let pass',
    options: [SINCE, { flags: '--audited', description: 'only what audit mode let pass' }, STATE, output('table', 'json')],
    examples: ['meshctl policy denials', 'meshctl policy denials --since 10m --audited'],
    exitCodes: '0 done; 1 nothing was recorded; 2 usage; 3 the mesh does not answer',
    load: () => import('./policy/denials.ts'),
  },
  {
    path: ['policy', 'replay'],
    summary: 'judge recorded requests by another policy, and list those that it would decide otherwise',
    arguments: [{ name: '<path...>', description: 'policy files or directories, or policy/N: a revision of the running mesh' }],
    options: [SINCE, MESH_FILE, STATE, output('table', 'json')],
    examples: ['meshctl policy replay policy.yaml', 'meshctl policy replay policy/3 --since 1h'],
    exitCodes:
      '0 every request is decided as it was; 1 some are not, or nothing was recorded; 2 usage or unreadable files; 3 the mesh does not answer',
    load: () => import('./policy/replay.ts'),
  },
  {
    path: ['policy', 'learn'],
    summary: 'write the least policy that allows what was seen',
    options: [SINCE, { flags: '--denied', description: 'learn from denied requests too' }, STATE, output('yaml', 'json')],
    examples: ['meshctl policy learn > learned.yaml', 'meshctl policy learn --since 1h -o json'],
    exitCodes: '0 done; 1 nothing was recorded; 2 usage; 3 the mesh does not answer',
    load: () => import('./policy/learn.ts'),
  },
  {
    path: ['policy', 'show'],
    summary: 'the policy in force, or an earlier revision',
    arguments: [{ name: '[revision]', description: 'a number of `policy history` (default: the one in force)' }],
    options: [STATE, output('yaml', 'json')],
    examples: ['meshctl policy show > policy.yaml', 'meshctl policy show 3'],
    exitCodes: `${ANSWER}; 1 no such revision`,
    load: () => import('./policy/show.ts'),
  },
  {
    path: ['policy', 'history'],
    summary: 'who applied which revision, and why',
    options: [STATE, output('table', 'json')],
    examples: ['meshctl policy history'],
    exitCodes: ANSWER,
    load: () => import('./policy/history.ts'),
  },
  {
    path: ['proxy', 'status'],
    summary: 'which proxy has which version of the configuration',
    options: [STATE, output('table', 'json')],
    examples: ['meshctl proxy status'],
    exitCodes: '0 all in sync; 1 one is not; 2 usage; 3 the mesh does not answer',
    load: () => import('./proxy/status.ts'),
  },
  {
    path: ['proxy', 'config'],
    summary: 'what a proxy was told: the services it may call and how, limits, faults',
    arguments: [{ name: '<instance>', description: 'an instance such as web-0, or a service' }],
    options: [STATE, output('table', 'json')],
    examples: ['meshctl proxy config web-0', 'meshctl proxy config ingress -o json'],
    exitCodes: `${ANSWER}; 1 no such instance`,
    load: () => import('./proxy/config.ts'),
  },
  {
    path: ['proxy', 'run'],
    summary: 'run one proxy from one file, without a control plane',
    options: [
      { flags: '-f, --file <file>', description: 'identity, listeners, services and policy of the proxy' },
      { flags: '--dry-run', description: 'only check the file' },
      output('table', 'json'),
    ],
    examples: ['meshctl proxy run -f proxy.yaml', 'meshctl proxy run -f proxy.yaml --dry-run'],
    exitCodes: '0 stopped as asked; 1 a port is in use; 2 the file, its policy or its identity has errors',
    load: () => import('./proxy/run.ts'),
  },
  {
    path: ['completion'],
    summary: 'print the completion script of a shell',
    arguments: [{ name: '<shell>', description: 'bash, zsh, fish or powershell' }],
    examples: ['meshctl completion bash > /etc/bash_completion.d/meshctl', 'meshctl completion zsh > ~/.zfunc/_meshctl'],
    exitCodes: '0 printed; 2 unknown shell',
    load: () => import('./completion.ts'),
  },
  {
    path: ['version'],
    summary: 'version of this program and of the Node that runs it',
    options: [output('table', 'json')],
    examples: ['meshctl version -o json'],
    exitCodes: '0',
    load: () => import('./version.ts'),
  },
];
