// `meshctl schema [KIND]`: JSON Schema of the documents that meshctl reads, for editors and other tools.
import { toJsonSchema } from '../base/decode.ts';
import { Fault } from '../base/fault.ts';
import { meshFile } from '../mesh/spec.ts';
import { policySchemas } from '../policy/json-schema.ts';
import type { Run } from './context.ts';
import { textArgument } from './input.ts';

export const run: Run = async (context, input) => {
  const schemas: Readonly<Record<string, object>> = { Mesh: toJsonSchema(meshFile), ...policySchemas() };
  const kind = textArgument(input, 0);
  if (kind === undefined) {
    context.print(
      Object.keys(schemas)
        .map((each) => `${each}\n`)
        .join(''),
    );
    return 0;
  }
  const found = Object.entries(schemas).find(([name]) => name.toLowerCase() === kind.toLowerCase());
  if (found === undefined)
    throw new Fault('USAGE', 'usage', `no document is of kind \`${kind}\``, { hint: `${Object.keys(schemas).join(', ')} are` });
  const [name, schema] = found;
  context.print(`${JSON.stringify({ title: name, ...schema }, null, 2)}\n`);
  return 0;
};
