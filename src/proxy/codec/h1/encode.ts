// Heads, chunks and trailers as bytes. The fields were checked when they were parsed; nothing here adds a line break.
import type { Fields } from '../fields.ts';

const REASONS: Record<number, string> = {
  100: 'Continue',
  200: 'OK',
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
};

export function encodeRequestHead(method: string, target: string, fields: Fields): string {
  return `${method} ${target} HTTP/1.1\r\n${encodeFields(fields)}\r\n`;
}

export function encodeResponseHead(status: number, reason: string, fields: Fields): string {
  return `HTTP/1.1 ${status} ${reason === '' ? (REASONS[status] ?? '') : reason}\r\n${encodeFields(fields)}\r\n`;
}

export function encodeFields(fields: Fields): string {
  let text = '';
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return text;
}

export function chunkHead(size: number): string {
  return `${size.toString(16)}\r\n`;
}

/** The last chunk with its trailers. */
export function lastChunk(trailers: Fields): string {
  return `0\r\n${encodeFields(trailers)}\r\n`;
}
