// What a command gets from the outside: terminal, directory, clock, the way to the mesh. Everything is lazy and replaceable.
import type { AdminMethod, AdminMethods } from '../control/admin.ts';
import type { CertsMethod, CertsMethods } from '../control/certs.ts';

export interface MeshConnection {
  request<M extends AdminMethod>(method: M, params: AdminMethods[M]['params']): Promise<AdminMethods[M]['result']>;
  ask(method: string, params: unknown, timeoutMs?: number): Promise<unknown>;
  close(): void;
}

/** The authority: that of the running mesh, or one that is opened for this command. */
export interface AuthorityConnection {
  request<M extends CertsMethod>(method: M, params: CertsMethods[M]['params']): Promise<CertsMethods[M]['result']>;
  close(): void;
}

export interface Context {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** stdin and stdout both are a terminal. */
  readonly isTerminal: boolean;
  /** Columns of stdout, 80 when it is no terminal. */
  readonly columns: number;
  now(): number;
  /** Primary data. */
  print(text: string): void;
  /** Everything else. */
  note(text: string): void;
  /** A connection to the mesh that the flags mean. Throws MESH_NONE, MESH_AMBIGUOUS, CONTROL_UNREACHABLE. */
  connect(state: string | undefined): Promise<MeshConnection>;
  /** The authority in `dir`, else that of the mesh that `state` means, running or not. Throws CA_NONE, CA_LOCKED and what `connect` throws. */
  connectAuthority(dir: string | undefined, state: string | undefined): Promise<AuthorityConnection>;
  /** What is typed at a prompt and not shown. Throws USAGE when there is no terminal. */
  askSecret(prompt: string): Promise<string>;
  /** Resolves at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once. */
  readonly interrupted: Promise<NodeJS.Signals>;
}

/** What commander parsed: positional arguments in order, and options by camelCase name. */
export interface Input {
  readonly args: readonly (string | readonly string[] | undefined)[];
  readonly options: Readonly<Record<string, unknown>>;
}

export type Run = (context: Context, input: Input) => Promise<number>;
