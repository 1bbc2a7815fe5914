// `npm run bench` measures pairs of proxies (pairs.ts), `-- policy` decisions (policy.ts), `-- certs` the authority (certs.ts),
// `-- signals` what counting costs (signals.ts).
const WHAT: Readonly<Record<string, string>> = { policy: './policy.ts', certs: './certs.ts', signals: './signals.ts' };
await import(WHAT[process.argv[2] ?? ''] ?? './pairs.ts');
