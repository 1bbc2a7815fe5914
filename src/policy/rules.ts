// Every rule of meaning, each in a file of its own.
import type { LintRule } from './rule.ts';
import { allowHttpOnTcp } from './rules/allow-http-on-tcp.ts';
import { anyUnreachable } from './rules/any-unreachable.ts';
import { bridgeWithoutOwner } from './rules/bridge-without-owner.ts';
import { clientDisablesMtls } from './rules/client-disables-mtls.ts';
import { clientMtlsOverridden } from './rules/client-mtls-overridden.ts';
import { deadRule } from './rules/dead-rule.ts';
import { defaultOpen } from './rules/default-open.ts';
import { denyHttp } from './rules/deny-http.ts';
import { denyHttpOnTcp } from './rules/deny-http-on-tcp.ts';
import { denyNoopL4 } from './rules/deny-noop-l4.ts';
import { denyPathBypass } from './rules/deny-path-bypass.ts';
import { disableWithClientMtls } from './rules/disable-with-client-mtls.ts';
import { dryRunOnly } from './rules/dry-run-only.ts';
import { duplicatePolicy } from './rules/duplicate-policy.ts';
import { exportToUnknown } from './rules/export-to-unknown.ts';
import { foreignHostRoute } from './rules/foreign-host-route.ts';
import { gatewayAutoPassthrough } from './rules/gateway-auto-passthrough.ts';
import { headerTrust } from './rules/header-trust.ts';
import { hostAsBoundary } from './rules/host-as-boundary.ts';
import { hostPort } from './rules/host-port.ts';
import { identityUnderPermissive } from './rules/identity-under-permissive.ts';
import { identityWithoutMtls } from './rules/identity-without-mtls.ts';
import { invariantViolated } from './rules/invariant-violated.ts';
import { ipInsteadOfIdentity } from './rules/ip-instead-of-identity.ts';
import { ipTrust } from './rules/ip-trust.ts';
import { jwksSsrf } from './rules/jwks-ssrf.ts';
import { jwtClaimWithoutAuthentication } from './rules/jwt-claim-without-authentication.ts';
import { jwtOptional } from './rules/jwt-optional.ts';
import { linkerdEmptyAuth } from './rules/linkerd-empty-auth.ts';
import { linkerdNetworkOnly } from './rules/linkerd-network-only.ts';
import { linkerdRoute404 } from './rules/linkerd-route-404.ts';
import { linkerdServerGrantOverRoute } from './rules/linkerd-server-grant-over-route.ts';
import { linkerdServerOverlap } from './rules/linkerd-server-overlap.ts';
import { meshWideAllow } from './rules/mesh-wide-allow.ts';
import { methodGrpc } from './rules/method-grpc.ts';
import { netpolAndOr } from './rules/netpol-and-or.ts';
import { netpolDangling } from './rules/netpol-dangling.ts';
import { noDns } from './rules/no-dns.ts';
import { noWaypoint } from './rules/no-waypoint.ts';
import { noWorkload } from './rules/no-workload.ts';
import { nonIsolatedPod } from './rules/non-isolated-pod.ts';
import { orForAnd } from './rules/or-for-and.ts';
import { pathCase } from './rules/path-case.ts';
import { pathNeverMatches } from './rules/path-never-matches.ts';
import { peerAuthenticationMissing } from './rules/peer-authentication-missing.ts';
import { principalForm } from './rules/principal-form.ts';
import { principalScheme } from './rules/principal-scheme.ts';
import { redundant } from './rules/redundant.ts';
import { remoteServiceAccount } from './rules/remote-service-account.ts';
import { saRegex } from './rules/sa-regex.ts';
import { selectorIgnored } from './rules/selector-ignored.ts';
import { serverNotVerified } from './rules/server-not-verified.ts';
import { serviceMismatch } from './rules/service-mismatch.ts';
import { servicePort } from './rules/service-port.ts';
import { shadowedRule } from './rules/shadowed-rule.ts';
import { statusCondition } from './rules/status-condition.ts';
import { strictWithoutClient } from './rules/strict-without-client.ts';
import { stripFragmentDisabled } from './rules/strip-fragment-disabled.ts';
import { tdUnknown } from './rules/td-unknown.ts';
import { tierViolation } from './rules/tier-violation.ts';
import { trailingSlash } from './rules/trailing-slash.ts';
import { unbrokeredPath } from './rules/unbrokered-path.ts';
import { unknownHost } from './rules/unknown-host.ts';
import { unknownNamespace } from './rules/unknown-namespace.ts';
import { unknownService } from './rules/unknown-service.ts';
import { unknownServiceAccount } from './rules/unknown-service-account.ts';
import { unknownTier } from './rules/unknown-tier.ts';
import { unlabelledService } from './rules/unlabelled-service.ts';
import { unsupportedL4 } from './rules/unsupported-l4.ts';
import { unusedService } from './rules/unused-service.ts';

export const LINT_RULES: readonly LintRule[] = [
  allowHttpOnTcp,
  anyUnreachable,
  bridgeWithoutOwner,
  clientDisablesMtls,
  clientMtlsOverridden,
  deadRule,
  defaultOpen,
  denyHttp,
  denyHttpOnTcp,
  denyNoopL4,
  denyPathBypass,
  disableWithClientMtls,
  dryRunOnly,
  duplicatePolicy,
  exportToUnknown,
  foreignHostRoute,
  gatewayAutoPassthrough,
  headerTrust,
  hostAsBoundary,
  hostPort,
  identityUnderPermissive,
  identityWithoutMtls,
  invariantViolated,
  ipInsteadOfIdentity,
  ipTrust,
  jwksSsrf,
  jwtClaimWithoutAuthentication,
  jwtOptional,
  linkerdEmptyAuth,
  linkerdNetworkOnly,
  linkerdRoute404,
  linkerdServerGrantOverRoute,
  linkerdServerOverlap,
  meshWideAllow,
  methodGrpc,
  netpolAndOr,
  netpolDangling,
  noDns,
  noWaypoint,
  noWorkload,
  nonIsolatedPod,
  orForAnd,
  pathCase,
  pathNeverMatches,
  peerAuthenticationMissing,
  principalForm,
  principalScheme,
  redundant,
  remoteServiceAccount,
  saRegex,
  selectorIgnored,
  serverNotVerified,
  serviceMismatch,
  servicePort,
  shadowedRule,
  statusCondition,
  strictWithoutClient,
  stripFragmentDisabled,
  tdUnknown,
  tierViolation,
  trailingSlash,
  unbrokeredPath,
  unknownHost,
  unknownNamespace,
  unknownService,
  unknownServiceAccount,
  unknownTier,
  unlabelledService,
  unsupportedL4,
  unusedService,
];
