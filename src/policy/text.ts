// The words of the grammar, for other rooms: how people name callers and operations.
export { isTextError, METHOD, parseGrpcName, parseWho, printOperation } from './reader/rule-text.ts';
