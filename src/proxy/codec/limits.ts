// Every limit of the data plane that protects it from its peers: unit in the name, reason beside it.

/** Request or status line and all fields. Envoy takes 60 KiB; more is an attack or a cookie jar gone wild. */
export const MAX_HEAD_BYTES = 60 * 1024;
/** Field lines of one head: Envoy and hyper take 100. */
export const MAX_FIELDS = 100;
/** A chunk head with its extensions (RFC 9112 section 7.1 sets no limit). */
export const MAX_CHUNK_HEAD_BYTES = 256;
/** All trailers of one message. */
export const MAX_TRAILER_BYTES = 8 * 1024;
/** A client that takes longer for its request head is slow on purpose. */
export const HEAD_TIMEOUT_MS = 10_000;
/** A connection without a request in progress. The caller's pool lets go earlier (POOL_IDLE_MS), so that the two do not race. */
export const IDLE_TIMEOUT_MS = 60_000;
/** After the last answer, what the caller still sends is read for this long, so that it sees the answer and no reset. */
export const LINGER_MS = 1000;
/** Interim answers (1xx) to one request: nothing holds them back, so their number is bounded. */
export const MAX_INTERIM = 100;
/** Bytes that a caller may send ahead while its request is under way; more wait in the kernel. */
export const MAX_PIPELINED_BYTES = 64 * 1024;
/** An idle connection to another proxy. */
export const POOL_IDLE_MS = 30_000;
/** An idle connection to an application: Node's own servers close theirs after 5 s. */
export const APP_POOL_IDLE_MS = 3000;
/** Idle connections kept per endpoint: as many as a burst used; each is closed after its idle time. */
export const MAX_IDLE_PER_ENDPOINT = 1024;
/** A TLS handshake that takes longer holds memory for nothing. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Handshakes that one listener has under way at once; whoever comes then is closed, and may try again. */
export const MAX_HANDSHAKES = 1000;
/** Connections that one listener holds at once. */
export const MAX_CONNECTIONS = 10_000;
/** Inbound requests remembered by request id, so that a service that forwards only that stays in the trace. */
export const MAX_REMEMBERED_REQUESTS = 10_000;
/** Spans waiting for the control plane; what does not fit is dropped and counted. */
export const MAX_BUFFERED_SPANS = 5000;
/** Label sets of one proxy; the rest is folded into `__other__`. */
export const MAX_SERIES = 2000;
/** Streams of one tunnel: connections of an application are streams too, and an idle one costs a few hundred bytes. */
export const MAX_TUNNEL_STREAMS = 20_000;
/** A connection between proxies that was silent for so long is asked whether it lives; silent for as long again, it is closed. */
export const PING_EVERY_MS = 10_000;
/** A tunnel without streams: a new one costs a handshake, an open one next to nothing. */
export const TUNNEL_IDLE_MS = 300_000;
/** Streams of one HTTP/2 connection of a caller at once (RFC 9113 section 6.5.2 wants at least 100). */
export const MAX_H2_STREAMS = 100;
export const MAX_H2_STREAM_WINDOW_BYTES = 256 * 1024;
/** A port that speaks whatever comes: a client that says nothing for so long waits for the server to speak first. */
export const DETECT_MS = 200;
