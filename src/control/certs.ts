// What may be asked of the authority: one method each, JSON in and out. The same with a mesh around it, and without one.
import { X509Certificate } from 'node:crypto';
import { Fault } from '../base/fault.ts';
import { addressBytes } from '../certs/address.ts';
import {
  type CaCertificate,
  type CaKind,
  type Leaf,
  type RevocationContent,
  type RevocationReason,
  readSigningRequest,
} from '../certs/authority.ts';
import { isEncryptedKey, type KeyType, keyTypeOf } from '../certs/key.ts';
import type { LeafKind } from '../certs/profile.ts';
import { lifeLeftPercent } from '../certs/renewal.ts';
import { isTrustDomain, makeSpiffeId, NAME, parseSpiffeId, printSpiffeId, type SpiffeId } from '../mesh/identity.ts';
import type { ForeignBundle, Trial, TrialTarget } from '../mesh/messages.ts';
import { DEFAULT_TTL_MS, MIN_TTL_MS } from '../mesh/spec.ts';
import type { Adoption, CaRequest, FederatedDomain, Office } from './office.ts';
import type { ControlPlane } from './plane.ts';
import type { Channel, IssuedRecord, RecordRow } from './record.ts';

/** Every method with the type of its parameters and of its answer. */
export interface CertsMethods {
  'certs.authority': { params: null; result: AuthorityReport };
  'certs.list': { params: null; result: { items: CertificateItem[] } };
  'certs.bundle': { params: null; result: { trustDomain: string; roots: string; sequence: number; federation: readonly ForeignBundle[] } };
  'certs.federation': { params: null; result: { items: readonly FederatedDomain[] } };
  'certs.federate': {
    params: { trustDomain: string; domain: Omit<FederatedDomain, 'trustDomain' | 'setAtMs'> | null; force?: boolean; timeoutMs?: number };
    result: { behind: string[] };
  };
  /** Has anything changed, and which of these were revoked? */
  'certs.pulse': { params: { serials: string[] }; result: { sequence: number; generation: number; revoked: string[] } };
  'certs.issue': { params: IssueParams; result: IssuedFiles };
  'certs.revoke': {
    params: { serial?: string; name?: string; reason: RevocationReason; prove?: boolean; timeoutMs?: number };
    result: RevokedReport;
  };
  'certs.allow': { params: { name: string; timeoutMs?: number }; result: { spiffeId: string; behind: string[] } };
  'certs.lists': { params: null; result: { items: ListItem[] } };
  'certs.listTemplate': { params: { root: string; lifeMs: number }; result: RevocationContent };
  'certs.listTake': { params: { root: string; der: string }; result: null };
  'certs.log': { params: { after: number; limit: number }; result: { rows: RecordRow[]; head: { id: number; hash: string } } };
  'certs.logCheck': {
    params: { expect?: string };
    result: { broken: number | null; head: { id: number; hash: string }; expected: number | null };
  };
  'certs.request': {
    params: { kinds: ('peer' | 'edge')[]; keyType?: KeyType };
    result: { generation: number; requests: CaRequest[] };
  };
  'certs.adopt': { params: Adoption; result: null };
  'certs.switch': { params: { generation: number }; result: null };
  'certs.drop': { params: { root: string; acceptLoss: boolean }; result: { lost: HeldItem[] } };
  'certs.retire': { params: { names: string[]; stolen: boolean }; result: null };
  'certs.evidence': { params: null; result: Evidence };
  'certs.renew': { params: { services?: string[] }; result: { items: RenewedItem[] } };
  'certs.handshakes': { params: null; result: { items: HandshakeItem[] } };
  /** Where the proxies of the mesh, or of one service or instance, listen. */
  'certs.targets': { params: { service?: string }; result: { items: TrialTarget[] } };
  /** A certificate for `revoke --prove`, and where it is tried. */
  'certs.probe': { params: { name: string; request: string }; result: { files: IssuedFiles; targets: TrialTarget[] } };
}

export type CertsMethod = keyof CertsMethods;

/** An authority, and the mesh that it serves, if one runs. */
export interface Desk {
  readonly office: Office;
  readonly mesh: ControlPlane | undefined;
}

export interface AuthorityReport {
  readonly directory: string;
  readonly trustDomain: string;
  readonly sequence: number;
  readonly generation: number;
  readonly lastGeneration: number;
  readonly isConstrained: boolean;
  readonly certificates: readonly CaItem[];
  readonly rotation: { readonly from: string; readonly to: string; readonly phase: 'trust' | 'sign'; readonly startedAt: string } | null;
  readonly blocked: readonly string[];
  readonly revoked: number;
}

export interface CaItem {
  readonly name: string;
  readonly kind: CaKind;
  readonly generation: number;
  readonly root: string;
  /** PEM. */
  readonly certificate: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly lifeLeftPercent: number;
  readonly signs: boolean;
  readonly keyType: string;
  readonly key: 'clear' | 'encrypted' | 'elsewhere';
}

export interface CertificateItem {
  readonly service: string;
  /** Null for what was issued to a file. */
  readonly instance: string | null;
  readonly channel: Channel;
  readonly kind: LeafKind;
  readonly spiffeId: string;
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly lifeLeftPercent: number;
  readonly generation: number;
  readonly issuer: string;
  readonly issuedAt: string;
  readonly revoked: boolean;
  /** Connections of its proxy that were made with an earlier certificate; null where no proxy says so. */
  readonly staleConnections: number | null;
}

export interface IssueParams {
  /** SERVICE, NAMESPACE/SERVICE or a SPIFFE id; for other kinds any name. Missing: as the request says. */
  readonly name?: string;
  readonly kind?: LeafKind;
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
  /** PKCS#10, DER, base64. */
  readonly request: string;
  readonly ttlMs?: number;
  readonly replaces?: string;
  /** For an instance's Workload API instead of a file. */
  readonly instance?: string;
}

export interface IssuedFiles {
  readonly spiffeId: string | null;
  readonly kind: LeafKind;
  readonly names: readonly string[];
  readonly serial: string;
  readonly issuedAt: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly generation: number;
  /** PEM. */
  readonly leaf: string;
  readonly chain: string;
  readonly bundle: string;
}

export interface HeldItem {
  readonly name: string;
  readonly serial: string;
  readonly channel: Channel;
  readonly instance: string;
  readonly notAfter: string;
}

export interface RevokedReport {
  /** Null for a single serial. */
  readonly spiffeId: string | null;
  readonly serials: readonly string[];
  /** Proxies that have not taken it in time. */
  readonly behind: readonly string[];
  readonly proxies: number;
  /** `prove`: what the holder of the serial was answered; null when its key is not with a proxy. */
  readonly trials: readonly Trial[] | null;
  /** Proxies that attest again. */
  readonly reattesting: readonly string[];
}

export interface ListItem {
  readonly issuer: string;
  /** Base64. */
  readonly der: string;
  readonly thisUpdate: string;
  readonly nextUpdate: string;
  readonly revoked: number;
}

export interface Evidence {
  readonly sequence: number;
  readonly generation: number;
  readonly proxies: readonly {
    readonly instance: string;
    readonly connected: boolean;
    /** It has the bundle of this sequence in force. */
    readonly trusts: boolean;
    /** Of the certificate that it was given last. */
    readonly generation: number | null;
    readonly blocked: boolean;
  }[];
  /** By the root above them: certificates that somebody may still use. */
  readonly held: readonly { readonly root: string; readonly items: readonly HeldItem[]; readonly until: string | null }[];
}

export interface RenewedItem {
  readonly instance: string;
  readonly before: string | null;
  readonly after: string | null;
  readonly why: string | null;
}

export interface HandshakeItem {
  readonly from: string;
  readonly to: string;
  readonly ok: boolean;
  readonly why: string;
}

type Handlers = {
  [M in CertsMethod]: (desk: Desk, params: CertsMethods[M]['params']) => CertsMethods[M]['result'] | Promise<CertsMethods[M]['result']>;
};

/** How long proxies have to take what changed. */
const DEFAULT_WAIT_MS = 5000;
const TRIAL_LIMIT_MS = 20_000;
/** All pairs up to this many handshakes; beyond it each proxy tries as many others as fit. */
const MAX_HANDSHAKES = 2500;
const MAX_ROWS = 10_000;

const time = (ms: number): string => new Date(ms).toISOString();

export const CERTS_HANDLERS: Handlers = {
  'certs.authority': ({ office }) => {
    const { state } = office.authority;
    const now = office.now();
    return {
      directory: office.files.directory,
      trustDomain: state.trustDomain,
      sequence: state.sequence,
      generation: office.authority.generation,
      lastGeneration: state.lastGeneration,
      isConstrained: state.isConstrained,
      certificates: state.certificates.map((ca) => caItem(office, ca, now)),
      rotation:
        state.rotation === undefined
          ? null
          : { from: state.rotation.from, to: state.rotation.to, phase: state.rotation.phase, startedAt: time(state.rotation.startedAtMs) },
      blocked: office.revocations.identities,
      revoked: office.revocations.serials.length,
    };
  },
  'certs.list': ({ office, mesh }) => {
    const now = office.now();
    const live = new Set(mesh?.instances.map(({ instance }) => instance));
    const proxies = (mesh?.instances ?? []).flatMap(({ instance }) => office.record.newestIssued(instance) ?? []);
    // Of what went elsewhere the newest of each holder.
    const others = new Map<string, IssuedRecord>();
    for (const each of office.record.unexpired(now))
      if (each.channel !== 'probe' && (each.channel !== 'proxy' || !live.has(each.instance)))
        others.set(each.channel === 'file' ? `${each.spiffeId} ${each.serial}` : `${each.channel} ${each.instance}`, each);
    for (const { replaces, spiffeId } of [...others.values()]) if (replaces !== undefined) others.delete(`${spiffeId} ${replaces}`);
    return {
      items: [...proxies, ...others.values()].map((issued) => ({
        service: issued.service,
        instance: issued.instance === '' ? null : issued.instance,
        channel: issued.channel,
        kind: issued.kind,
        spiffeId: issued.spiffeId,
        serial: issued.serial,
        notBefore: time(issued.notBeforeMs),
        notAfter: time(issued.notAfterMs),
        lifeLeftPercent: lifeLeftPercent(issued.issuedAtMs, issued.notAfterMs, now),
        generation: issued.generation,
        issuer: issued.issuer,
        issuedAt: time(issued.issuedAtMs),
        revoked: office.isRevoked(issued.serial),
        staleConnections: issued.channel === 'proxy' ? (mesh?.loads.gaugesOf(issued.instance)?.staleConnections ?? null) : null,
      })),
    };
  },
  'certs.bundle': ({ office: { authority, federation } }) => ({
    trustDomain: authority.state.trustDomain,
    roots: authority.bundle,
    sequence: authority.state.sequence,
    federation,
  }),
  'certs.federation': ({ office }) => ({ items: office.federation }),
  'certs.federate': async ({ office, mesh }, { trustDomain, domain, force, timeoutMs = DEFAULT_WAIT_MS }) => {
    const before = office.federation.find((each) => each.trustDomain === trustDomain);
    if (!isTrustDomain(trustDomain)) throw new Fault('BUNDLE_INVALID', 'usage', `\`${trustDomain}\` is no trust domain`);
    if (trustDomain === office.authority.state.trustDomain)
      throw new Fault('BUNDLE_INVALID', 'usage', `\`${trustDomain}\` is this authority's own trust domain`);
    if (force !== true && domain !== null && domain.sequence !== null && (before?.sequence ?? 0) > domain.sequence)
      throw new Fault(
        'BUNDLE_OLD',
        'conflict',
        `this bundle of ${trustDomain} is older (sequence ${domain.sequence}) than the one in force (${before?.sequence})`,
        {
          hint: 'an old bundle may hold a root that was taken out; --force takes it all the same',
        },
      );
    office.federate(trustDomain, domain === null ? undefined : { ...domain, trustDomain, setAtMs: office.now() });
    return { behind: (await mesh?.whenSettled(timeoutMs)) ?? [] };
  },
  'certs.pulse': ({ office }, { serials }) => ({
    sequence: office.authority.state.sequence,
    generation: office.authority.generation,
    revoked: serials.filter((serial) => office.isRevoked(serial)),
  }),
  'certs.issue': ({ office, mesh }, params) => {
    const { leaf, publicKey } = readOrder(office, mesh, params);
    const ttlMs = params.ttlMs ?? mesh?.mesh.spec.certificateTtlMs ?? DEFAULT_TTL_MS;
    if (ttlMs < MIN_TTL_MS) throw new Fault('CERT_TTL', 'usage', `a life under ${MIN_TTL_MS / 1000}s is refused`);
    if (params.replaces !== undefined && office.isRevoked(params.replaces))
      throw new Fault('CERT_REVOKED', 'denied', `the certificate ${params.replaces} was revoked and is not renewed`, {
        hint: '`meshctl certs issue` makes another, for a new key',
      });
    const isWorkload = params.instance !== undefined;
    if (
      isWorkload &&
      mesh?.instances.find(({ instance }) => instance === params.instance)?.service !== (leaf.kind === 'peer' && leaf.id.service)
    )
      throw new Fault('CERT_NAME', 'denied', `\`${params.instance}\` is no instance of that service`);
    const issued = office.issue({
      leaf,
      publicKey,
      ttlMs,
      channel: isWorkload ? 'workload-api' : 'file',
      service: leaf.kind === 'peer' ? (leaf.id.service ?? '') : '',
      instance: params.instance ?? '',
      replaces: params.replaces,
    });
    return filesOf(office, leaf, issued);
  },
  'certs.revoke': async ({ office, mesh }, { serial, name, reason, prove, timeoutMs = DEFAULT_WAIT_MS }) => {
    const isIdentity = serial === undefined;
    const id = isIdentity ? printSpiffeId(identityFor(name ?? '', office, mesh)) : null;
    const found = isIdentity ? office.revokeIdentity(id ?? '', reason) : [office.revoke(serial.toLowerCase(), reason)];
    const serials = found.map((each) => each.serial);
    // Who holds it now: those that had it before and have a newer one are not concerned.
    const holders = (mesh === undefined ? [] : [...mesh.sessions.values()]).filter((session) =>
      serials.includes(office.record.newestIssued(session.proxyId)?.serial ?? ''),
    );
    const behind = (await mesh?.whenSettled(timeoutMs)) ?? [];
    let trials: readonly Trial[] | null = null;
    if (prove === true && !isIdentity && mesh !== undefined) {
      const holder = holders[0];
      const targets = targetsOf(mesh).filter(({ instance }) => instance !== holder?.proxyId);
      if (holder !== undefined) trials = (await holder.command({ kind: 'try', targets }, TRIAL_LIMIT_MS))?.trials ?? null;
    }
    if (!isIdentity) for (const holder of holders) holder.reattest();
    return {
      spiffeId: id,
      serials,
      behind,
      proxies: mesh?.instances.length ?? 0,
      trials,
      reattesting: isIdentity ? [] : holders.map(({ proxyId }) => proxyId),
    };
  },
  'certs.allow': async ({ office, mesh }, { name, timeoutMs = DEFAULT_WAIT_MS }) => {
    const id = identityFor(name, office, mesh);
    const spiffeId = printSpiffeId(id);
    office.allow(spiffeId);
    const behind = (await mesh?.whenSettled(timeoutMs)) ?? [];
    for (const session of mesh?.sessions.values() ?? []) if (mesh?.identityOf(session.service) === spiffeId) session.reattest();
    return { spiffeId, behind };
  },
  'certs.lists': ({ office }) => ({
    items: office.lists().map((list) => ({
      issuer: list.issuer,
      der: list.der.toString('base64'),
      thisUpdate: time(list.thisUpdateMs),
      nextUpdate: time(list.nextUpdateMs),
      revoked: list.revoked,
    })),
  }),
  'certs.listTemplate': ({ office }, { root, lifeMs }) => office.listTemplate(root, lifeMs),
  'certs.listTake': ({ office }, { root, der }) => {
    office.takeList(root, Buffer.from(der, 'base64'));
    return null;
  },
  'certs.log': ({ office }, { after, limit }) => ({
    rows: office.record.rows(after, Math.min(limit, MAX_ROWS)),
    head: office.record.head(),
  }),
  'certs.logCheck': ({ office: { record } }, { expect }) => ({
    broken: record.broken() ?? null,
    head: record.head(),
    expected: expect === undefined ? null : (record.rowOf(expect) ?? null),
  }),
  'certs.request': ({ office }, { kinds, keyType }) => office.request(kinds, keyType),
  'certs.adopt': ({ office }, adoption) => {
    office.adopt(adoption);
    return null;
  },
  'certs.switch': ({ office }, { generation }) => {
    office.switchTo(generation);
    return null;
  },
  'certs.drop': (desk, { root, acceptLoss }) => {
    const { office } = desk;
    const lost = heldItems(heldBelow(desk, root));
    if (lost.length > 0 && !acceptLoss)
      throw new Fault(
        'ROTATION_HELD',
        'conflict',
        `${lost.length} unexpired certificates below ${root} may still be in use: ${someOf(lost)}`,
        {
          hint: 'renew them (`certs rotate leaf`, `certs renew`), wait until they expire, or name the loss with --accept-loss',
        },
      );
    office.drop(root);
    return { lost };
  },
  'certs.retire': ({ office }, { names, stolen }) => {
    office.retire(names, stolen);
    return null;
  },
  'certs.evidence': ({ office, mesh }) => {
    const { state } = office.authority;
    return {
      sequence: state.sequence,
      generation: office.authority.generation,
      proxies: (mesh?.instances ?? []).map(({ instance, service }) => {
        const session = mesh?.sessions.get(instance);
        return {
          instance,
          connected: session !== undefined,
          trusts: session?.trusts === state.sequence,
          generation: office.record.newestIssued(instance)?.generation ?? null,
          blocked: office.isBlocked(mesh?.identityOf(service) ?? ''),
        };
      }),
      held: state.certificates
        .filter(({ kind }) => kind === 'root')
        .map(({ name }) => {
          const held = heldBelow({ office, mesh }, name);
          const until = Math.max(...held.map(({ notAfterMs }) => notAfterMs), 0);
          return { root: name, items: heldItems(held), until: until === 0 ? null : time(until) };
        }),
    };
  },
  'certs.renew': async ({ office, mesh }, { services }) => {
    const known = needMesh(mesh).instances;
    const wanted = known.filter(
      ({ service, instance }) => services === undefined || services.includes(service) || services.includes(instance),
    );
    if (wanted.length === 0)
      throw new Fault('SERVICE_UNKNOWN', 'not-found', `the mesh has no service or instance \`${services?.join('`, `')}\``, {
        hint: `its services are ${[...new Set(known.map(({ service }) => service))].join(', ')}`,
      });
    return {
      items: await Promise.all(
        wanted.map(async ({ instance }): Promise<RenewedItem> => {
          const before = office.record.newestIssued(instance)?.serial ?? null;
          const session = mesh?.sessions.get(instance);
          if (session === undefined) return { instance, before, after: null, why: 'its proxy is not connected' };
          const after = (await session.command({ kind: 'renew' }, TRIAL_LIMIT_MS))?.serial ?? null;
          return { instance, before, after, why: after === null ? 'its proxy has not taken a new certificate in time' : null };
        }),
      ),
    };
  },
  'certs.handshakes': async ({ mesh }) => {
    const plane = needMesh(mesh);
    const targets = targetsOf(plane);
    const sessions = [...plane.sessions.values()].filter(({ service }) => !plane.office.isBlocked(plane.identityOf(service)));
    const each = Math.max(1, Math.floor(MAX_HANDSHAKES / Math.max(1, sessions.length)));
    const tried = await Promise.all(
      sessions.map(async (session, i): Promise<HandshakeItem[]> => {
        // Everybody tries somebody, and everybody is tried, however many there are.
        const others = targets.filter(({ instance }) => instance !== session.proxyId);
        const start = (i * each) % Math.max(1, others.length);
        const mine = [...others.slice(start), ...others.slice(0, start)].slice(0, each);
        const answer = await session.command({ kind: 'try', targets: mine }, TRIAL_LIMIT_MS);
        if (answer?.trials === undefined) return [{ from: session.proxyId, to: '*', ok: false, why: 'the proxy does not answer' }];
        return answer.trials.map(({ instance, reached, why }) => ({ from: session.proxyId, to: instance, ok: reached === 'answer', why }));
      }),
    );
    return { items: tried.flat() };
  },
  'certs.targets': ({ mesh }, { service }) => {
    const plane = needMesh(mesh);
    const names = new Set(
      plane.instances.filter((each) => each.service === service || each.instance === service).map(({ instance }) => instance),
    );
    return { items: targetsOf(plane).filter(({ instance }) => service === undefined || names.has(instance)) };
  },
  'certs.probe': ({ office, mesh }, { name, request }) => {
    const plane = needMesh(mesh);
    const id = identityFor(name, office, mesh);
    if (!office.isBlocked(printSpiffeId(id)))
      throw new Fault('CERT_NOT_BLOCKED', 'conflict', `${printSpiffeId(id)} is not blocked, so there is nothing to prove`);
    const { leaf, publicKey } = readOrder(office, mesh, { name, request });
    const issued = office.issue({ leaf, publicKey, ttlMs: MIN_TTL_MS, channel: 'probe', service: id.service ?? '', instance: '' });
    return { files: filesOf(office, leaf, issued), targets: targetsOf(plane) };
  },
};

/** Runs a method. Throws what the method throws. */
export function runCertsMethod<M extends CertsMethod>(desk: Desk, method: M, params: CertsMethods[M]['params']): unknown {
  return CERTS_HANDLERS[method](desk, params);
}

function needMesh(mesh: ControlPlane | undefined): ControlPlane {
  if (mesh !== undefined) return mesh;
  throw new Fault('MESH_NONE', 'unavailable', 'no mesh is running on this authority', { hint: '`meshctl up` starts it' });
}

/** One inbound port of each instance that is there; blocked identities apart. */
function targetsOf(plane: ControlPlane): TrialTarget[] {
  return plane.instances.flatMap(({ instance, service, state, host, inbound }) => {
    const port = Object.values(inbound)[0];
    const identity = plane.identityOf(service);
    if (state !== 'ready' || port === undefined || plane.office.isBlocked(identity)) return [];
    return [{ instance, host: host ?? '127.0.0.1', port, identity }];
  });
}

function caItem(office: Office, ca: CaCertificate, now: number): CaItem {
  const x509 = new X509Certificate(ca.certificate);
  const pem = office.authority.holdsKey(ca.name) ? '' : office.files.readKey(ca.name);
  const [from, to] = [x509.validFromDate.getTime(), x509.validToDate.getTime()];
  return {
    ...ca,
    notBefore: time(from),
    notAfter: time(to),
    lifeLeftPercent: lifeLeftPercent(from, to, now),
    signs: Object.values(office.authority.state.signers).includes(ca.name),
    keyType: keyTypeOf(x509.publicKey) ?? 'other',
    key: pem === undefined ? 'elsewhere' : isEncryptedKey(pem) ? 'encrypted' : 'clear',
  };
}

/** A proxy that is gone has taken its key with it. */
function heldBelow({ office, mesh }: Desk, root: string): IssuedRecord[] {
  const live = mesh === undefined ? undefined : new Set(mesh.instances.map(({ instance }) => instance));
  return office.heldOf((ca) => ca.root === root).filter((each) => each.channel !== 'proxy' || (live?.has(each.instance) ?? true));
}

function heldItems(held: readonly IssuedRecord[]): HeldItem[] {
  return held.map(({ spiffeId, serial, channel, instance, notAfterMs }) => ({
    name: spiffeId,
    serial,
    channel,
    instance,
    notAfter: time(notAfterMs),
  }));
}

const MAX_NAMED = 5;

function someOf(held: readonly HeldItem[]): string {
  const named = held.slice(0, MAX_NAMED).map(({ name, channel, serial }) => `${name} (${channel}, ${serial.slice(0, 8)}…)`);
  return `${named.join(', ')}${held.length > MAX_NAMED ? ` and ${held.length - MAX_NAMED} more` : ''}`;
}

function filesOf(office: Office, leaf: Leaf, issued: ReturnType<Office['issue']>): IssuedFiles {
  return {
    spiffeId: leaf.kind === 'peer' ? printSpiffeId(leaf.id) : null,
    kind: leaf.kind,
    names: leaf.kind === 'peer' ? [] : [...leaf.dnsNames, ...leaf.ips],
    serial: issued.serial,
    issuedAt: time(issued.issuedAtMs),
    notBefore: time(issued.notBeforeMs),
    notAfter: time(issued.notAfterMs),
    generation: issued.generation,
    leaf: issued.leaf,
    chain: issued.chain,
    bundle: office.authority.bundle,
  };
}

const DNS_NAME = /^(?=.{1,253}$)(?:\*\.)?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const COMMON_NAME = /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$/;

/** What is asked for, held against the profile of its kind. Throws CERT_NAME, CSR_REFUSED with the rule. */
function readOrder(
  office: Office,
  mesh: ControlPlane | undefined,
  params: IssueParams,
): { leaf: Leaf; publicKey: import('node:crypto').KeyObject } {
  const kind = params.kind ?? 'peer';
  const request = readSigningRequest(Buffer.from(params.request, 'base64'));
  const refuse = (what: string): Fault =>
    new Fault('CSR_REFUSED', 'denied', what, { hint: '`meshctl certs inspect` shows what a signing request asks for' });
  if (request === undefined) throw refuse('the signing request is unreadable, or not signed by its own key');
  if (keyTypeOf(request.key) === undefined)
    throw refuse('weak-key: the request is for a key that is neither P-256, P-384, Ed25519 nor RSA of 2048, 3072 or 4096 bits');
  if (request.isCa) throw refuse('svid-ca: the request asks to be an authority');
  if (request.hasOtherNames) throw refuse('svid-uri: the request asks for names of a kind that is not issued here (e-mail or other)');
  if (kind !== 'peer') return { leaf: plainLeaf(kind, params, request, refuse), publicKey: request.key };
  if ((params.dnsNames ?? []).length + (params.ips ?? []).length > 0)
    throw new Fault('CERT_NAME', 'usage', 'DNS names and addresses are for `--kind server` and `ingress`; a peer has its SPIFFE id alone');
  if (request.dnsNames.length + request.ips.length > 0)
    throw refuse('svid-uri: the request asks for DNS names or addresses beside a SPIFFE id');
  if (request.uris.length > 1) throw refuse('svid-uri: the request asks for more than one URI');
  const name = params.name ?? request.uris[0];
  if (name === undefined) throw new Fault('CERT_NAME', 'usage', 'neither a name is given nor does the request hold one');
  const id = identityFor(name, office, mesh);
  if (request.uris[0] !== undefined && request.uris[0] !== printSpiffeId(id))
    throw refuse(`svid-uri: the request asks for ${request.uris[0]}, which is not ${printSpiffeId(id)}`);
  return { leaf: { kind, id }, publicKey: request.key };
}

function plainLeaf(
  kind: Exclude<LeafKind, 'peer'>,
  { name, dnsNames = [], ips = [] }: IssueParams,
  request: NonNullable<ReturnType<typeof readSigningRequest>>,
  refuse: (what: string) => Fault,
): Leaf {
  const wrong = (what: string, hint: string): Fault => new Fault('CERT_NAME', 'usage', what, { hint });
  if (request.uris.length > 0) throw refuse('svid-uri: a certificate of this kind carries no URI');
  // Many verifiers want a subjectAltName of a client too, so its name is one where it can be.
  const asked = [...new Set([...dnsNames, ...request.dnsNames])];
  const isNameless = kind === 'client' && asked.length + ips.length + request.ips.length === 0;
  const dns = isNameless && name !== undefined && DNS_NAME.test(name) ? [name] : asked;
  const addresses = [...new Set([...ips, ...request.ips])];
  const badName = dns.find((each) => !DNS_NAME.test(each));
  if (badName !== undefined)
    throw wrong(`\`${badName}\` is no DNS name`, 'lower case, labels of a-z, 0-9 and `-`; `*.` may stand in front');
  const badAddress = addresses.find((each) => addressBytes(each) === undefined);
  if (badAddress !== undefined) throw wrong(`\`${badAddress}\` is no IP address`, 'write it without a port');
  const commonName = name ?? dns[0] ?? addresses[0];
  if (commonName === undefined || !COMMON_NAME.test(commonName))
    throw wrong(`\`${commonName ?? ''}\` is no name for a certificate`, 'letters, digits, blanks, `.`, `_` and `-`, at most 63');
  if (kind !== 'client' && dns.length + addresses.length === 0)
    throw wrong(`a certificate of kind \`${kind}\` wants a name that clients look for`, 'give --dns NAME or --ip ADDRESS');
  return { kind, commonName, dnsNames: dns, ips: addresses };
}

/** NAME = service, ns/service, or a whole SPIFFE id of this trust domain. Throws CERT_NAME. */
function identityFor(name: string, office: Office, mesh: ControlPlane | undefined): SpiffeId {
  const { trustDomain } = office.authority.state;
  const wrong = (what: string, hint: string): Fault => new Fault('CERT_NAME', 'usage', what, { hint });
  if (name.startsWith('spiffe://')) {
    const id = parseSpiffeId(name);
    if (id === undefined || id.service === undefined)
      throw wrong(`\`${name}\` is no identity of a mesh service`, 'write spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE');
    if (id.trustDomain !== trustDomain)
      throw wrong(
        `this authority signs for trust domain \`${trustDomain}\`, not \`${id.trustDomain}\``,
        'ask the authority of that domain',
      );
    return id;
  }
  const [first = '', second, more] = name.split('/');
  const namespace = second === undefined ? (mesh?.mesh.spec.namespace ?? 'default') : first;
  const service = second ?? first;
  if (more !== undefined || !NAME.test(namespace) || !NAME.test(service))
    throw wrong(`\`${name}\` is no service name`, 'write SERVICE, NAMESPACE/SERVICE or a whole SPIFFE id');
  return makeSpiffeId(trustDomain, namespace, service);
}
