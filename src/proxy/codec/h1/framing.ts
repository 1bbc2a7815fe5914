// Where the body of a message ends (RFC 9112 section 6.3). Anything that two readers could frame differently is refused.
import { type Fields, fieldsOf } from '../fields.ts';
import type { HeadError, RequestHead, ResponseHead } from './head.ts';

export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'until-close' };

const NONE: Framing = { kind: 'none' };

export function frameRequest(head: RequestHead): Framing | HeadError {
  const declared = declaredFraming(head.fields, head.minor);
  return declared ?? NONE;
}

/** An answer that has no body, whatever its fields say (RFC 9110 section 6.4.1); `method` is that of the request. */
export function isBodiless(method: string, status: number): boolean {
  return method === 'HEAD' || status < 200 || status === 204 || status === 304;
}

/** `method` is that of the request that this answers. */
export function frameResponse(head: ResponseHead, method: string): Framing | HeadError {
  const declared = declaredFraming(head.fields, head.minor);
  if (declared !== undefined && 'why' in declared) return declared;
  if (isBodiless(method, head.status)) return NONE;
  return declared ?? { kind: 'until-close' };
}

function declaredFraming(fields: Fields, minor: 0 | 1): Framing | HeadError | undefined {
  const encodings = fieldsOf(fields, 'transfer-encoding');
  const lengths = fieldsOf(fields, 'content-length');
  if (encodings.length > 0) {
    if (lengths.length > 0) return { status: 400, why: 'both Content-Length and Transfer-Encoding' };
    if (minor === 0) return { status: 400, why: 'Transfer-Encoding in HTTP/1.0' };
    if (encodings.length > 1) return { status: 400, why: 'more than one Transfer-Encoding' };
    if (encodings[0]?.toLowerCase() !== 'chunked') return { status: 501, why: 'a transfer coding other than `chunked`' };
    return { kind: 'chunked' };
  }
  if (lengths.length === 0) return undefined;
  if (lengths.length > 1) return { status: 400, why: 'more than one Content-Length' };
  const text = lengths[0] ?? '';
  if (!/^[0-9]{1,15}$/.test(text)) return { status: 400, why: 'a Content-Length that is no number' };
  return { kind: 'length', length: Number(text) };
}
