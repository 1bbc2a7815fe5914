// JSON Schema of the native documents, for editors. A rule's own grammar is checked by `policy lint`; here its shape.
import { toJsonSchema } from '../base/decode.ts';
import { schema as baseline } from './baseline.ts';
import { policySchema, testSchema } from './document.ts';
import { caseSchema } from './reader/case-node.ts';
import { SCHEMAS } from './reader/invariant-node.ts';
import { longRule } from './reader/rule-node.ts';

type Schema = Readonly<Record<string, unknown>>;

const inner = (schema: Parameters<typeof toJsonSchema>[0]): Schema => {
  const { $schema: _dialect, ...rest } = toJsonSchema(schema);
  return rest;
};

const shortRule: Schema = {
  type: 'object',
  description: 'caller -> callee: operations',
  minProperties: 1,
  maxProperties: 1,
  patternProperties: {
    '^.+->.+$': {
      anyOf: [
        { type: 'string', minLength: 1 },
        { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1 },
      ],
    },
  },
  additionalProperties: false,
};

function withLists(schema: Schema, lists: Readonly<Record<string, Schema>>): Schema {
  const properties = schema['properties'] as Readonly<Record<string, Schema>>;
  const known = Object.entries(lists).filter(([key]) => properties[key] !== undefined);
  return {
    ...schema,
    properties: { ...properties, ...Object.fromEntries(known.map(([key, items]) => [key, { ...properties[key], items }])) },
  };
}

/** By `kind`. */
export function policySchemas(): Readonly<Record<'Policy' | 'PolicyTest' | 'LintBaseline', Schema>> {
  const rule = { anyOf: [shortRule, inner(longRule)] };
  const lists = { allow: rule, deny: rule, invariants: { anyOf: Object.values(SCHEMAS).map(inner) }, tests: inner(caseSchema) };
  return {
    Policy: withLists(toJsonSchema(policySchema), lists),
    PolicyTest: withLists(toJsonSchema(testSchema), lists),
    LintBaseline: toJsonSchema(baseline),
  };
}
