// Where a request wants to go: listener × target × fields → the path to forward and the service meant.
import type { Protocol, Upstream } from '../../mesh/snapshot.ts';
import { normalizePath } from '../../policy/path.ts';
import { type Fields, fieldsOf } from '../codec/fields.ts';
import type { RefusalDetails } from '../rescue.ts';
import type { Tables } from '../tables.ts';

/** What a connection came in on. */
export type Listener =
  | { readonly kind: 'inbound'; readonly portName: string; readonly protocol: Protocol; readonly appHost: string; readonly appPort: number }
  /** `keepHost`: the service sees the caller's Host; else its own name. */
  | { readonly kind: 'outbound'; readonly service: string; readonly keepHost?: true }
  | { readonly kind: 'forward' }
  | { readonly kind: 'ingress'; readonly port: number };

export interface Route {
  /** Normalised. */
  readonly path: string;
  /** With its `?`, or empty. */
  readonly query: string;
  readonly authority: string;
  /** The service that is meant; undefined towards the own application. */
  readonly upstream: Upstream | undefined;
}

// RFC 3986 section 3.2: what a Host field or an absolute target may hold; no user information.
const AUTHORITY = /^[A-Za-z0-9._~-]+(?::[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?$/;
const ABSOLUTE = /^http:\/\/([^/?#]*)(.*)$/i;

export function match(
  listener: Listener,
  tables: Tables,
  method: string,
  target: string,
  minor: 0 | 1,
  fields: Fields,
): Route | RefusalDetails {
  const hosts = fieldsOf(fields, 'host');
  if (hosts.length > 1 || (hosts.length === 0 && minor === 1)) return refuse('bad_request', 'exactly one Host is wanted');
  let authority = hosts[0] ?? '';
  if (authority !== '' && !AUTHORITY.test(authority)) return refuse('bad_request', 'the Host is malformed');
  let origin = target;
  const absolute = ABSOLUTE.exec(target);
  if (absolute !== null) {
    // RFC 9112 section 3.2.2: the target's authority replaces the Host.
    authority = absolute[1] ?? '';
    if (!AUTHORITY.test(authority)) return refuse('bad_request', 'the authority of the target is malformed');
    origin = absolute[2] === '' || absolute[2]?.startsWith('?') ? `/${absolute[2]}` : (absolute[2] ?? '/');
  } else if (target === '*' && method === 'OPTIONS') origin = '/';
  const normal = normalizePath(origin, true);
  if ('refused' in normal) return refuse('bad_request', normal.refused);
  const upstream = findUpstream(listener, tables, authority, normal.path);
  if (upstream !== undefined && 'refusal' in upstream) return upstream;
  const end = listener.kind === 'inbound' ? tables.own : upstream;
  if (normal.path.includes('%2F') && end?.encodedSlash !== 'keep') return refuse('bad_request', 'an encoded slash (`%2f`) in the path');
  return { path: normal.path, query: normal.query, authority, upstream };
}

/** The TCP service that a CONNECT on the forward listener may reach. */
export function matchTunnel(tables: Tables, target: string): Upstream | RefusalDetails {
  const upstream = byAuthority(tables, target);
  if (upstream === undefined) return refuse('no_route', `CONNECT reaches TCP services of the mesh only, and \`${target}\` is none`, 502);
  if (upstream.protocol !== 'tcp' && upstream.protocol !== 'detect')
    return refuse('no_route', `\`${target}\` speaks HTTP: send the request to http://${upstream.service}/ through this proxy`, 502);
  return upstream;
}

function findUpstream(listener: Listener, tables: Tables, authority: string, path: string): Upstream | RefusalDetails | undefined {
  switch (listener.kind) {
    case 'inbound':
      return undefined;
    case 'outbound':
      return tables.upstreams.get(listener.service) ?? refuse('no_route', `the mesh has no service \`${listener.service}\``, 502);
    case 'forward': {
      const found = byAuthority(tables, authority);
      if (found === undefined)
        return refuse(
          'no_route',
          `the mesh has no service \`${authority}\`; hosts outside it are not reachable through this proxy unless the mesh file lists them under \`external:\``,
          502,
        );
      if (found.protocol === 'tcp')
        return refuse('no_route', `\`${authority}\` speaks TCP: use CONNECT, or its host and port from the environment`, 502);
      return found;
    }
    case 'ingress': {
      const route = tables.routes.find((each) => covers(each.path, path));
      if (route === undefined) return refuse('no_route', 'no ingress route covers this path');
      return tables.upstreams.get(route.service) ?? refuse('no_route', `the mesh has no service \`${route.service}\``);
    }
  }
}

// `orders`, `orders:80`, `orders:http`; port 80 is what clients add for http://.
function byAuthority(tables: Tables, authority: string): Upstream | undefined {
  const [host = '', port] = authority.toLowerCase().split(':');
  if (port === undefined || port === '80') return tables.upstreams.get(host);
  return tables.upstreams.get(`${host}:${port}`) ?? (/^\d+$/.test(port) ? tables.upstreams.get(host) : undefined);
}

// `/api` covers `/api` and `/api/x`, not `/apiary`.
function covers(prefix: string, path: string): boolean {
  if (prefix.endsWith('/')) return path.startsWith(prefix);
  return path === prefix || path.startsWith(`${prefix}/`);
}

function refuse(refusal: RefusalDetails['refusal'], why: string, status?: number): RefusalDetails {
  return { refusal, why, status };
}
