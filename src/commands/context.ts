// What a command gets from the outside: terminal, directory, clock, the way to the mesh. Everything is lazy and replaceable.
import type { AdminMethod, AdminMethods } from '../control/admin.ts';

export interface MeshConnection {
  request<M extends AdminMethod>(method: M, params: AdminMethods[M]['params']): Promise<AdminMethods[M]['result']>;
  ask(method: string, params: unknown, timeoutMs?: number): Promise<unknown>;
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
  /** Resolves at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once. */
  readonly interrupted: Promise<NodeJS.Signals>;
}

/** What commander parsed: positional arguments in order, and options by camelCase name. */
export interface Input {
  readonly args: readonly (string | readonly string[] | undefined)[];
  readonly options: Readonly<Record<string, unknown>>;
}

export type Run = (context: Context, input: Input) => Promise<number>;
