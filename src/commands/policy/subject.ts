// The policy that a question is about: files that are named, else the one in force, else that of the mesh file.
import { existsSync, globSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { type Finding, reaches } from '../../base/finding.ts';
import type { PolicyRevision } from '../../control/store.ts';
import type { CompiledPolicy } from '../../mesh/authorization.ts';
import { makeSpiffeId, parseSpiffeId, type SpiffeId } from '../../mesh/identity.ts';
import { type MeshSpec, parseMeshFile } from '../../mesh/spec.ts';
import { compilePolicy, emptyPolicy, meshOfPolicy, resolve as resolveWho } from '../../policy/compile.ts';
import { diffPolicies, type PolicyDiff } from '../../policy/diff.ts';
import { hasNative, importedName, importsOf, type PolicyDocument, type PolicyText } from '../../policy/document.ts';
import { type Settings, validateForeign } from '../../policy/foreign.ts';
import { type ForeignMesh, readForeign } from '../../policy/foreign-decision.ts';
import { importForeign } from '../../policy/import.ts';
import { lintPolicy } from '../../policy/lint.ts';
import { collectNames, type Names } from '../../policy/names.ts';
import type { Port } from '../../policy/reachability.ts';
import { isTextError, parseWho } from '../../policy/text.ts';
import { renderFindings } from '../../views/report/table.ts';
import type { Context, Input, MeshConnection } from '../context.ts';
import { repeatedOption, stateOption, textOption, withMesh } from '../input.ts';
import { nearestMeshFile } from '../mesh-file.ts';
import { readTexts } from '../read-files.ts';
import { isPolicyFile } from './files.ts';
import { readRange } from './revisions.ts';

export interface Subject {
  readonly policy: CompiledPolicy;
  readonly document: PolicyDocument;
  readonly names: Names;
  readonly mesh: MeshSpec;
  /** The file names, or `policy/7`. */
  readonly source: string;
}

/** `paths`: files and directories; none of them: the running mesh, else the mesh file. Throws POLICY_INVALID when it has errors. */
export async function loadSubject(context: Context, input: Input, paths: readonly string[]): Promise<Subject> {
  const named = [...paths, ...repeatedOption(input, 'policy')];
  if (named.length > 0) {
    const texts = readPolicyTexts(context, named);
    const meshFile = textOption(input, 'mesh') ?? nearestMeshFile(named[0] === '-' ? context.cwd : directoryOf(context, named[0] ?? ''));
    return subjectOf(context, texts, meshFile === undefined ? undefined : readMesh(context, meshFile), named.join(' '));
  }
  return (await running(context, input)) ?? fromMeshFile(context, input);
}

/**
 * The two sides of a comparison: each a file or directory, or `policy/7`, a revision of the running mesh; or both as a range of git revisions
 * with the paths that are meant. Beside a revision, files are judged
 * with the services of that mesh, unless `--mesh` names others.
 */
export async function loadSides(context: Context, input: Input, first: string, rest: readonly string[]): Promise<[Subject, Subject]> {
  const range = existsSync(resolve(context.cwd, first)) ? undefined : readRange(context.cwd, first, rest);
  if (range !== undefined) {
    const file = textOption(input, 'mesh');
    const mesh = file === undefined ? undefined : readMesh(context, file);
    const sides = range.map((side) => subjectOf(context, side.files, mesh ?? side.mesh, side.name));
    return sides as [Subject, Subject];
  }
  const [second] = rest;
  if (second === undefined || rest.length > 1)
    throw new Fault('USAGE', 'usage', `two policies are compared, and ${rest.length + 1} are named`, {
      hint: 'name the old and the new one, or a range of git revisions: `main..HEAD -- PATH`',
    });
  const named = [first, second] as const;
  const running = await Promise.all(named.map((each) => loadRevision(context, input, each)));
  const mesh = textOption(input, 'mesh') === undefined ? running.find((each) => each !== undefined)?.mesh : undefined;
  const sides = named.map((each, i) => {
    const found = running[i];
    if (found !== undefined) return found;
    return mesh === undefined ? loadSubject(context, input, [each]) : subjectOf(context, readPolicyTexts(context, [each]), mesh, each);
  });
  return (await Promise.all(sides)) as [Subject, Subject];
}

/** The revision in force; undefined for a mesh that has none, and so denies everything. */
export async function currentPolicy(connection: MeshConnection): Promise<PolicyRevision | undefined> {
  try {
    return await connection.request('policy.show', {});
  } catch (error) {
    if (error instanceof Fault && error.code === 'POLICY_NONE') return undefined;
    throw error;
  }
}

/** What files would change of the policy in force. */
export async function diffOf(context: Context, connection: MeshConnection, texts: readonly PolicyText[]): Promise<PolicyDiff> {
  const { spec } = await connection.request('mesh.spec', null);
  const current = await currentPolicy(connection);
  const before =
    current === undefined
      ? emptyPolicy(spec.trustDomain)
      : subjectOf(context, current.files, spec, `policy/${current.revision}`, current.revision).policy;
  const after = subjectOf(context, texts, spec, 'the new one').policy;
  return diffPolicies(before, after, portsOf(spec), context.now());
}

/** Files judged with the services of the running mesh, unless `--mesh` names others. */
export async function loadBeside(context: Context, input: Input, paths: readonly string[]): Promise<Subject> {
  if (textOption(input, 'mesh') !== undefined) return loadSubject(context, input, paths);
  const { spec } = await withMesh(context, input, (mesh) => mesh.request('mesh.spec', null));
  const [first] = paths;
  const revision = paths.length === 1 && first !== undefined ? await loadRevision(context, input, first) : undefined;
  return revision ?? subjectOf(context, readPolicyTexts(context, paths), spec, paths.join(' '));
}

async function loadRevision(context: Context, input: Input, named: string): Promise<Subject | undefined> {
  const revision = /^policy\/([1-9][0-9]{0,8})$/.exec(named)?.[1];
  if (revision === undefined) return undefined;
  const mesh = await context.connect(stateOption(input));
  try {
    const { spec } = await mesh.request('mesh.spec', null);
    const { files } = await mesh.request('policy.show', { revision: Number(revision) });
    return subjectOf(context, files, spec, named, Number(revision));
  } finally {
    mesh.close();
  }
}

/** The policies of `--policy` when they are those of another mesh and nothing else; native ones with them are refused by their own reader. */
export function foreignPolicies(context: Context, input: Input): { readonly mesh: ForeignMesh; readonly source: string } | undefined {
  const named = repeatedOption(input, 'policy');
  if (named.length === 0 || named.every((each) => /^policy\/\d+$/.test(each))) return undefined;
  const texts = readPolicyTexts(context, named);
  if (hasNative(texts)) return undefined;
  const rootNamespace = textOption(input, 'rootNamespace');
  const mesh = loadForeign(context, texts, named.join(' '), rootNamespace === undefined ? {} : { rootNamespace });
  return mesh === undefined ? undefined : { mesh, source: named.join(' ') };
}

/** The resources of another mesh; undefined when no policy is among them. Throws POLICY_INVALID for what that mesh would not take. */
export function loadForeign(
  context: Context,
  texts: readonly PolicyText[],
  source: string,
  settings: Partial<Settings>,
): ForeignMesh | undefined {
  const mesh = readForeign(texts, settings);
  if (mesh === undefined) return undefined;
  const wrong = validateForeign(mesh.resources).findings.filter(({ rule }) => rule.endsWith('-schema') || rule === 'not-a-resource');
  refuseErrors(context, wrong, source);
  return mesh;
}

/** Files, what patterns fit, and the YAML files of directories, mesh files left out; with what their `import:` carries over. */
export function readPolicyTexts(context: Context, names: readonly string[]): PolicyText[] {
  const texts = readFiles(context, names);
  return texts.flatMap((text) => {
    const imported = readImports(context, text);
    return imported === undefined ? [text] : [text, imported];
  });
}

function readFiles(context: Context, names: readonly string[]): PolicyText[] {
  return names
    .flatMap((name) => expand(context, name))
    .flatMap((name) => {
      const path = resolve(context.cwd, name);
      if (name === '-' || !existsSync(path) || !statSync(path).isDirectory()) return readTexts(context, [name]);
      const files = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter(isPolicyFile).sort();
      if (files.length === 0) throw new Fault('FILE_UNREADABLE', 'usage', `there is no policy file in \`${name}\``);
      return readTexts(
        context,
        files.map((file) => join(name, file)),
      );
    });
}

/** The policies that a text imports, from beside it, as native rules. Throws POLICY_INVALID when something cannot be carried over. */
function readImports(context: Context, source: PolicyText): PolicyText | undefined {
  const wanted = importsOf(source);
  if (wanted === undefined) return undefined;
  const directory = source.file === '<stdin>' ? '.' : dirname(source.file);
  const given = new Map(wanted.document.services.flatMap(({ name, id }) => (id === undefined ? [] : [[id, name] as const])));
  const { trustDomain } = wanted.document;
  // Together: what two of them name is one service.
  const patterns = wanted.imports.map(({ istio, linkerd, kuma }) => join(directory, istio ?? linkerd ?? kuma ?? ''));
  const rootNamespace = wanted.imports.find((each) => each.rootNamespace !== undefined)?.rootNamespace;
  const mesh = loadForeign(context, readFiles(context, patterns), patterns.join(' '), {
    ...(rootNamespace === undefined ? {} : { rootNamespace }),
    ...(trustDomain === undefined ? {} : { trustDomain }),
  });
  if (mesh === undefined)
    throw new Fault('POLICY_MISSING', 'usage', `${patterns.join(' ')}, which ${source.file} imports, holds no policy of another mesh`);
  const { text, left } = importForeign(mesh, given);
  for (const { place, resource, what } of left) context.note(`${place}  ${resource}: ${what}\n`);
  if (left.length > 0)
    throw new Fault('POLICY_INVALID', 'usage', `${left.length} parts of what ${source.file} imports cannot be carried over`, {
      hint: '`meshctl policy import` writes what can be; mend the rest there',
    });
  // Whose trust domain it is, is said where the import is written, or by the mesh.
  return { file: importedName(source.file), text: text.replace(/^trustDomain:.*\n/m, '') };
}

/** A pattern as the files that it fits. Throws FILE_UNREADABLE when there are none. */
function expand(context: Context, name: string): string[] {
  if (!/[*?[{]/.test(name) || existsSync(resolve(context.cwd, name))) return [name];
  const files = globSync(name, { cwd: context.cwd, exclude: (each) => each === 'node_modules' }).sort();
  if (files.length === 0) throw new Fault('FILE_UNREADABLE', 'usage', `no file fits \`${name}\``);
  return files;
}

function directoryOf(context: Context, name: string): string {
  const path = resolve(context.cwd, name);
  return existsSync(path) && statSync(path).isDirectory() ? path : dirname(path);
}

async function running(context: Context, input: Input): Promise<Subject | undefined> {
  let mesh: Awaited<ReturnType<Context['connect']>>;
  try {
    mesh = await context.connect(stateOption(input));
  } catch (error) {
    if (stateOption(input) === undefined && error instanceof Fault && error.code === 'MESH_NONE') return undefined;
    throw error;
  }
  try {
    const { spec } = await mesh.request('mesh.spec', null);
    const { revision, files } = await mesh.request('policy.show', {});
    return subjectOf(context, files, spec, `policy/${revision}`, revision);
  } finally {
    mesh.close();
  }
}

function fromMeshFile(context: Context, input: Input): Subject {
  const meshFile = textOption(input, 'mesh') ?? nearestMeshFile(context.cwd);
  if (meshFile === undefined)
    throw new Fault('POLICY_MISSING', 'usage', 'there is no policy to ask: no mesh runs here, and no mesh.yaml is here or above', {
      hint: 'name one with --policy FILE',
    });
  const mesh = readMesh(context, meshFile);
  if (mesh.policy.length === 0)
    throw new Fault('POLICY_MISSING', 'usage', 'the mesh file names no policy', { hint: 'name one with --policy FILE' });
  const names = mesh.policy.map((file) => resolve(dirname(resolve(context.cwd, meshFile)), file));
  return subjectOf(context, readTexts(context, names), mesh, names.join(' '));
}

export function readMesh(context: Context, name: string): MeshSpec {
  const [file] = readTexts(context, [name]);
  const { spec, findings } = parseMeshFile(name, file?.text ?? '');
  if (spec !== undefined) return spec;
  context.note(`${renderFindings(findings)}\n`);
  throw new Fault('MESH_FILE', 'config', `${name} has errors`, { hint: 'mend it, or name another one with --mesh' });
}

function subjectOf(context: Context, texts: readonly PolicyText[], mesh: MeshSpec | undefined, source: string, revision = 0): Subject {
  const { document, findings } = lintPolicy(texts, mesh, { verify: false });
  refuseErrors(context, findings, source);
  const spec = mesh ?? meshOfPolicy(document);
  const policy = compilePolicy(document, findings, spec, revision);
  if (policy.unreadable !== undefined) throw new Fault('POLICY_INVALID', 'usage', `${source} cannot be judged: ${policy.unreadable}`);
  return { policy, document, names: collectNames(document, spec), mesh: spec, source };
}

function refuseErrors(context: Context, findings: readonly Finding[], source: string): void {
  const errors = findings.filter((finding) => finding.severity === 'error');
  if (!reaches(errors, 'error')) return;
  context.note(`${renderFindings(errors)}\n`);
  throw new Fault(
    'POLICY_INVALID',
    'usage',
    `${source} has ${errors.length === 1 ? 'an error' : `${errors.length} errors`}, so nothing is judged by it`,
    {
      hint: '`meshctl policy lint` says how to mend it',
    },
  );
}

/** Ports that the services of the mesh declare. */
export function portsOf(mesh: MeshSpec): Port[] {
  return Object.values(mesh.services).flatMap(({ ports }) => ports.map(({ name, port }) => ({ name, number: port === 0 ? 65_001 : port })));
}

/** A caller as people write it: a service, `id:…`, `sa:…`, `ns:…` (any service of it) or `none`. */
export function readCaller(subject: Subject, text: string): SpiffeId | undefined {
  if (text === 'none') return undefined;
  const id = readIdentity(subject, text);
  if (id !== undefined) return id;
  throw new Fault('USAGE', 'usage', `\`${text}\` is no caller`, {
    hint: 'a service, `sa:NAMESPACE/NAME`, `id:SPIFFE-ID`, `ns:NAMESPACE`, or `none`',
  });
}

/** A callee as people write it, with its port if one is named: `orders`, `orders:http`, `id:…`. */
export function readCallee(subject: Subject, text: string): { readonly id: SpiffeId; readonly port: string | undefined } {
  const direct = readIdentity(subject, text);
  if (direct !== undefined) return { id: direct, port: undefined };
  const colon = text.lastIndexOf(':');
  const id = colon < 0 ? undefined : readIdentity(subject, text.slice(0, colon));
  if (id !== undefined) return { id, port: text.slice(colon + 1) };
  throw new Fault('USAGE', 'usage', `\`${text}\` is no callee`, { hint: 'a service, with `:PORT` if it matters, or `id:SPIFFE-ID`' });
}

function readIdentity({ names, policy }: Subject, text: string): SpiffeId | undefined {
  const who = parseWho(text);
  if (isTextError(who)) return undefined;
  if (who.kind === 'name' && names.groups.has(who.name)) return undefined;
  const [found] = resolveWho(who, names, []);
  switch (found?.kind) {
    case 'workload':
      return makeSpiffeId(policy.trustDomain, found.namespace, found.service);
    case 'namespace':
      return makeSpiffeId(policy.trustDomain, found.namespace, 'any-other');
    case 'id':
      return parseSpiffeId(found.id);
    default:
      return undefined;
  }
}

/** The port that is meant: by number or name as the service declares it. Undefined when none is named and the service has several. */
export function readPort({ mesh }: Subject, callee: SpiffeId, named: string | undefined): Port | undefined {
  const declared = callee.namespace === mesh.namespace && callee.service !== undefined ? (mesh.services[callee.service]?.ports ?? []) : [];
  const port = declared.find(({ name, port: number }) => named === undefined || name === named || String(number) === named);
  if (named === undefined) return declared.length === 1 && port !== undefined ? { name: port.name, number: port.port } : undefined;
  if (port !== undefined) return { name: port.name, number: port.port };
  if (declared.length > 0)
    throw new Fault('USAGE', 'usage', `\`${callee.service}\` has no port \`${named}\``, {
      hint: `it has ${declared.map(({ name }) => name).join(', ')}`,
    });
  return /^\d+$/.test(named) ? { name: '', number: Number(named) } : { name: named, number: 0 };
}
