// What the control plane itself says of a policy.
import { isMap, mapList } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

const KINDS = ['AuthorizationPolicy', 'PeerAuthentication', 'RequestAuthentication', 'DestinationRule'];

export const statusCondition: LintRule = {
  id: 'status-condition',
  severity: 'warning',
  summary: 'The status of a policy, written by the control plane, says that it was not accepted or has no effect.',
  see: ['IST0171'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec: {}
status:
  conditions:
    - {type: WaypointAccepted, status: "False", reason: TargetNotFound, message: "Service shop/orders not found"}
`,
  mend: [['status: "False"', 'status: "True"']],
  foreign: (mesh, find) => {
    for (const resource of KINDS.flatMap((kind) => mesh.istio(kind))) {
      const { status } = resource.data;
      if (!isMap(status)) continue;
      (mapList(status['conditions']) ?? []).forEach((condition, i) => {
        if (condition['status'] === 'False')
          find(
            resource,
            ['status', 'conditions', i],
            `${condition['type']} is false: ${condition['message'] ?? condition['reason'] ?? 'no reason is given'}`,
            {
              fix: 'mend what the message says, and apply it again',
            },
          );
      });
    }
  },
};
