// JSON documents on stdout: one a command, or one a line for streams; always with apiVersion and kind.
import { API_VERSION } from '../mesh/version.ts';

export function document(kind: string, body: object): string {
  return `${JSON.stringify({ apiVersion: API_VERSION, kind, ...body }, null, 2)}\n`;
}

export function documentLine(kind: string, body: object): string {
  return `${JSON.stringify({ apiVersion: API_VERSION, kind, ...body })}\n`;
}
