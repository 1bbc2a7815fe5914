// A stream of a connection that carries many, as a channel; used by both sides.
import type { Channel, ChannelEvents } from '../net/channel.ts';
import type { FlowStream, StreamHandler } from './stream.ts';

/** What comes before start() waits. */
export class StreamChannel implements Channel, StreamHandler {
  readonly expiresAtMs: number;
  readonly #stream: FlowStream;
  #events: ChannelEvents | undefined;

  constructor(stream: FlowStream, expiresAtMs: number) {
    this.expiresAtMs = expiresAtMs;
    this.#stream = stream;
    stream.handler = this;
    stream.pause();
  }

  start(events: ChannelEvents): void {
    this.#events = events;
    if (this.#stream.isClosed) events.onClosed(true);
    else this.#stream.resume();
  }

  write(bytes: Buffer): boolean {
    return this.#stream.write(bytes);
  }

  end(): void {
    this.#stream.end([]);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  reset(reason: string): void {
    this.#stream.reset(reason);
  }

  onHead(): void {}

  onData(bytes: Buffer): void {
    this.#events?.onData(bytes);
  }

  onEnd(): void {
    this.#events?.onEnd();
  }

  onReset(): void {
    this.#events?.onClosed(true);
  }

  onFinished(): void {
    this.#events?.onClosed(false);
  }

  onDrain(): void {
    this.#events?.onDrain();
  }
}
