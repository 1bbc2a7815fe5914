// The switch that brings CVE-2021-39156 back.
import { isMap, mapList, specOf, texts } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

const NAME = 'HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED';

export const stripFragmentDisabled: LintRule = {
  id: 'strip-fragment-disabled',
  severity: 'error',
  summary: `\`${NAME}: "false"\` keeps the fragment in the path: \`/admin#x\` then passes a rule that closes \`/admin\`.`,
  see: ['CVE-2021-39156'],
  wrong: `apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system}
spec:
  template:
    spec:
      containers:
        - name: discovery
          image: example/pilot
          env: [{name: ${NAME}, value: "false"}]
`,
  mend: [['value: "false"', 'value: "true"']],
  foreign: (mesh, find) => {
    const what = `\`${NAME}\` is off: paths keep their fragment`;
    for (const { resource } of mesh.workloads) {
      const spec = specOf(resource);
      const isPod = resource.kind === 'Pod';
      const pod = isPod ? spec : isMap(spec['template']) && isMap(spec['template']['spec']) ? spec['template']['spec'] : {};
      const at = isPod ? ['spec'] : ['spec', 'template', 'spec'];
      (mapList(pod['containers']) ?? []).forEach((container, i) => {
        const k = (mapList(container['env']) ?? []).findIndex(({ name, value }) => name === NAME && value === 'false');
        if (k >= 0) find(resource, [...at, 'containers', i, 'env', k], what, { fix: 'remove it' });
      });
    }
    for (const resource of mesh.istio('ProxyConfig'))
      if (texts(specOf(resource)['environmentVariables'])[NAME] === 'false')
        find(resource, ['spec', 'environmentVariables', NAME], what, { fix: 'remove it' });
  },
};
