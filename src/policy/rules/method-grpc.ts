// What stands under `methods` is a method of HTTP.
import { matchString } from '../foreign/istio/path.ts';
import type { LintRule } from '../rule.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'];

export const methodGrpc: LintRule = {
  id: 'method-grpc',
  severity: 'warning',
  summary:
    '`methods` holds what is no method of HTTP: a slip of the keyboard, or a method of gRPC. gRPC is always POST, and its method stands under `paths` as `/package.Service/Method`.',
  see: ['KIA0102'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: payments, namespace: shop}
spec:
  rules:
    - to: [{operation: {methods: [pay.v1.Payments/Charge]}}]
`,
  mend: [['methods: [pay.v1.Payments/Charge]', 'methods: [POST], paths: [/pay.v1.Payments/Charge]']],
  foreign: ({ authorizations }, find) => {
    for (const { resource, rules } of authorizations)
      for (const field of rules.flatMap(({ to }) => (to ?? []).flat()).filter(({ name }) => name === 'methods'))
        field.values.forEach((method, i) => {
          if (METHODS.some((each) => matchString(method, each))) return;
          find(resource, [...field.path, i], `\`${method}\` is no method of HTTP`, {
            fix: method.includes('/')
              ? 'write `methods: [POST]`, and the path of the gRPC method under `paths`'
              : `one of ${METHODS.join(', ')} is wanted`,
          });
        });
  },
};
