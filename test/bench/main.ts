// `npm run bench` measures pairs of proxies (pairs.ts), `npm run bench -- policy` decisions (policy.ts).
await import(process.argv[2] === 'policy' ? './policy.ts' : './pairs.ts');
