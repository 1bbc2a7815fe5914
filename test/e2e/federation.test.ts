// Identities of another trust domain are believed by the bundle of that trust domain, and by no other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSpiffeId } from '../../src/mesh/identity.ts';
import { forge, issueFor, makeTestAuthority } from '../support/ca.ts';
import { keepOpen, present } from '../support/mutual.ts';
import { authorityOf, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH = 'services:\n  orders: {command: x}\n';
const POLICY =
  'allow:\n  - "id:spiffe://partner.mesh/ns/default/sa/web -> orders": any\n  - "id:spiffe://test.mesh/ns/default/sa/own -> orders": any\n';
const PARTNER = makeSpiffeId('partner.mesh', 'default', 'web');

test('a partner gets in with its bundle, as itself and as nobody of ours; without the bundle no more', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const port = orders.ports.inbound['http'] ?? 0;
  const partner = makeTestAuthority('partner.mesh');
  const third = makeTestAuthority('third.mesh');
  const own = authorityOf(mesh);
  const show = ({ key, chain }: { key: string; chain: string }): Promise<string> => present(port, { key, cert: chain });
  const web = issueFor(partner, PARTNER);
  assert.equal(await show(web), '', 'not before its bundle is there');
  const federate = (trustDomain: string, roots: string[] | null): Promise<unknown> =>
    mesh.client.request('certs.federate', {
      trustDomain,
      domain: roots === null ? null : { roots, sequence: null, endpoint: null, refreshHintSeconds: 300 },
    });
  await federate('partner.mesh', [partner.files.rootCertificate]);
  await federate('third.mesh', [third.files.rootCertificate]);
  assert.match(await show(web), /^HTTP\/1\.1 200/);
  assert.match(await show(issueFor(own, makeSpiffeId('test.mesh', 'default', 'own'))), /^HTTP\/1\.1 200/, 'our own go on');
  assert.match(
    await show(issueFor(partner, makeSpiffeId('partner.mesh', 'default', 'other'))),
    /^HTTP\/1\.1 403/,
    'policy names one of it',
  );
  const seen = app.seen.length;
  const hostile = {
    'a partner that calls itself one of ours': forge(partner, { uri: 'spiffe://test.mesh/ns/default/sa/own' }),
    'a third that calls itself the partner': forge(third, { uri: 'spiffe://partner.mesh/ns/default/sa/web' }),
    'our own authority, about the partner': forge(own, { uri: 'spiffe://partner.mesh/ns/default/sa/web' }),
    'a trust domain that nobody knows, by a known root': forge(partner, { uri: 'spiffe://nobody.mesh/ns/default/sa/web' }),
    'an authority with the same names as the partner': issueFor(makeTestAuthority('partner.mesh'), PARTNER),
  };
  for (const [title, credential] of Object.entries(hostile)) assert.equal(await show(credential), '', title);
  assert.equal(app.seen.length, seen);
  const open = await keepOpen(port, { key: web.key, cert: web.chain });
  assert.match(await open.ask(), /^HTTP\/1\.1 200/);
  await federate('partner.mesh', null);
  await open.closed;
  assert.equal(await show(web), '');
});
