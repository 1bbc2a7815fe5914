// What a lint rule is: a page that says what is wrong and shows it, and the functions that find it.
import type { Finding, Severity } from '../base/finding.ts';
import type { CompiledPolicy } from '../mesh/authorization.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import type { PolicyDocument } from './document.ts';
import type { ForeignMesh, Path } from './foreign/model.ts';
import type { Resource } from './foreign/resources.ts';
import type { Names, ServiceResolver } from './names.ts';

/** One page of docs/rules/. */
export interface RulePage {
  /** Stable word id, `unknown-service`; the name of the rule's file. */
  readonly id: string;
  /** What it reports, unless it says otherwise of a single finding. */
  readonly severity: Severity;
  /** What is wrong, and why it matters. */
  readonly summary: string;
  /** A file on which the rule fires. */
  readonly wrong: string;
  /** What to replace in it, each the first time it stands there: then the rule is silent. */
  readonly mend: readonly (readonly [string, string])[];
  /** What others call it, and the advisories behind it. */
  readonly see?: readonly string[];
}

/** A native policy, its names worked out. */
export interface LintInput {
  readonly document: PolicyDocument;
  readonly names: Names;
  readonly resolver: ServiceResolver;
  readonly mesh: MeshSpec | undefined;
  readonly nowMs: number;
  /** Compiled once, at the first call; undefined where names are not known, which are findings of their own. */
  readonly compiled: () => CompiledPolicy | undefined;
}

/** What a rule reports of one place; its severity is the rule's unless it says another. */
export interface Remark {
  readonly fix?: string;
  readonly why?: string;
  readonly severity?: Severity;
  readonly edit?: readonly [string, string];
}

export type Find = (resource: Resource, path: Path, what: string, more?: Remark) => void;

export interface LintRule extends RulePage {
  /** Judges the native document. */
  readonly native?: (input: LintInput) => Finding[];
  /** Judges the resources of other meshes and of Kubernetes, all that were given together. */
  readonly foreign?: (mesh: ForeignMesh, find: Find) => void;
}

/** A finding about one resource. */
export interface ForeignFinding extends Finding {
  readonly resource: Resource;
  readonly path: Path;
}
