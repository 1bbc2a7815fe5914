// A process that asks the Workload API as SPIFFE libraries do, and prints what it gets: one JSON a line.
//   argv   socket (unix:///…), what to ask (svid | bundles), whether to send the metadata
import { createHash } from 'node:crypto';
import { credentials, loadPackageDefinition, Metadata } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import { WORKLOAD_API } from '../../src/platform/local/workload-proto.ts';

interface Svid {
  readonly spiffeId: string;
  readonly x509Svid: Buffer;
  readonly x509SvidKey: Buffer;
  readonly bundle: Buffer;
}
interface Answer {
  readonly svids?: readonly Svid[];
  readonly federatedBundles?: Readonly<Record<string, Buffer>>;
  readonly bundles?: Readonly<Record<string, Buffer>>;
}
type Call = { on(event: string, listener: (value: never) => void): void };

const [target = '', what = 'svid', metadata = 'yes'] = process.argv.slice(2);
const loaded = loadPackageDefinition(fromJSON(WORKLOAD_API as never)) as unknown as {
  SpiffeWorkloadAPI: new (target: string, credentials: unknown) => Record<string, (request: object, metadata: Metadata) => Call>;
};
const client = new loaded.SpiffeWorkloadAPI(target, credentials.createInsecure());
const sent = new Metadata();
if (metadata === 'yes') sent.set('workload.spiffe.io', 'true');
const call = client[what === 'svid' ? 'FetchX509SVID' : 'FetchX509Bundles']?.({}, sent);
const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
call?.on('data', ({ svids, bundles, federatedBundles }: Answer) =>
  say({
    svids: svids?.map(({ spiffeId, x509Svid, x509SvidKey, bundle }) => ({
      spiffeId,
      chain: x509Svid.toString('base64'),
      key: x509SvidKey.toString('base64'),
      bundle: bundle.toString('base64'),
      keyHash: createHash('sha256').update(x509SvidKey).digest('hex'),
    })),
    bundles: Object.keys(bundles ?? {}),
    federated: Object.keys(federatedBundles ?? {}),
  }),
);
call?.on('error', ({ code, details }: { code: number; details: string }) => {
  say({ code, details });
  process.exit(1);
});
call?.on('end', () => process.exit(0));
