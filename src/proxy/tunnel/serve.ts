// The callee's side of a tunnel: each HTTP stream is an exchange, each TCP stream is judged and joined with the application.
import type { Socket } from 'node:net';
import type { Fields } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { Origin } from '../connection.ts';
import { StreamChannel } from '../flow/channel.ts';
import { ServedStream } from '../flow/served.ts';
import type { Channel } from '../net/channel.ts';
import type { Runtime } from '../runtime.ts';
import { encodeHead, FRAME, type Opening } from './frame.ts';
import { TunnelSession, type TunnelStream } from './session.ts';

export interface ServedTunnel {
  readonly size: number;
  /** No new streams; the connection ends with its last one. */
  retire(): void;
  close(reason: string): void;
}

/** `serveTcp` gets the raw TCP streams. */
export function serveTunnel(runtime: Runtime, origin: Origin, socket: Socket, serveTcp: (channel: Channel) => void): ServedTunnel {
  const expiresAtMs = origin.peer?.notAfterMs ?? Number.POSITIVE_INFINITY;
  return new TunnelSession(socket, 'server', {
    onOpen: (stream, opening) => {
      if (opening.kind === 'tcp') {
        serveTcp(new StreamChannel(stream, expiresAtMs));
      } else new TunnelRequest(runtime, origin, stream, opening, expiresAtMs).run();
    },
    onGoaway: () => undefined,
    onIdle: () => undefined,
    onClosed: () => undefined,
  });
}

type HttpOpening = Extract<Opening, { kind: 'http' }>;

class TunnelRequest extends ServedStream<TunnelStream> {
  constructor(runtime: Runtime, origin: Origin, stream: TunnelStream, { head, framing, upgrade }: HttpOpening, expiresAtMs: number) {
    super(runtime, origin, stream, head, framing, upgrade, expiresAtMs);
  }

  protected sendHead(status: number, reason: string, fields: Fields, framing: Framing, end: boolean): void {
    this.stream.begin(FRAME.head, encodeHead(status, framing, reason, fields), end);
  }
}
