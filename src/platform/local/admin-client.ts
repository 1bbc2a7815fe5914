// A connection to the control plane's socket: requests out, and requests in for the supervisor.
import { createConnection, type Socket } from 'node:net';
import { Fault, messageOf } from '../../base/fault.ts';
import { encodeFrame, FrameDecoder } from '../../base/frames.ts';
import type { AdminMethod, AdminMethods } from '../../control/admin.ts';
import { type AdminMessage, PROTOCOL } from '../../mesh/messages.ts';
import { Dialogue } from './dialogue.ts';

const REQUEST_TIMEOUT_MS = 10_000;

export class AdminClient {
  readonly #socket: Socket;
  readonly #dialogue: Dialogue;
  /** Called once when the connection is gone. */
  onClose: () => void = () => undefined;
  /** Answers what the control plane asks (the supervisor sets it). */
  onRequest: (method: string, params: unknown) => Promise<unknown> = () =>
    Promise.reject(new Fault('METHOD_UNKNOWN', 'usage', 'nothing can be asked of this side'));

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#dialogue = new Dialogue(
      (message) => this.#send(message),
      (method, params) => this.onRequest(method, params),
    );
    const decoder = new FrameDecoder();
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const message of decoder.push(bytes)) this.#dialogue.receive(message as AdminMessage);
      } catch {
        socket.destroy();
      }
    });
    socket.once('close', () => {
      this.#dialogue.end(
        new Fault('CONTROL_GONE', 'unavailable', 'the control plane closed the connection', {
          hint: 'it is started again by itself: try once more in a second',
        }),
      );
      this.onClose();
    });
  }

  /** Rejects with CONTROL_UNREACHABLE when nobody answers there. */
  static open(socketPath: string, role: 'supervisor' | 'cli'): Promise<AdminClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(socketPath);
      socket.on('error', (cause) =>
        reject(
          new Fault('CONTROL_UNREACHABLE', 'unavailable', `the control plane does not answer at ${socketPath}: ${messageOf(cause)}`, {
            cause,
            hint: '`meshctl up` starts the mesh',
          }),
        ),
      );
      socket.once('connect', () => {
        const client = new AdminClient(socket);
        client.#send({ kind: 'admin', protocol: PROTOCOL, role });
        resolve(client);
      });
    });
  }

  request<M extends AdminMethod>(method: M, params: AdminMethods[M]['params']): Promise<AdminMethods[M]['result']> {
    return this.ask(method, params) as Promise<AdminMethods[M]['result']>;
  }

  /** Like `request`, for what control hands on to the supervisor. */
  ask(method: string, params: unknown, timeoutMs = REQUEST_TIMEOUT_MS): Promise<unknown> {
    return this.#dialogue.ask(method, params, timeoutMs);
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(message: AdminMessage): void {
    if (this.#socket.writable) this.#socket.write(encodeFrame(message));
  }
}
