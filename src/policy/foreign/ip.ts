// Whether an address is in a block. An address alone is a block of itself.
import { BlockList, isIP } from 'node:net';

/** False for what is no block. */
export function isInBlock(block: string, address: string): boolean {
  const [network = '', bits] = block.split('/');
  const family = isIP(network);
  const own = isIP(address);
  if (family === 0 || own !== family) return false;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  const length = bits === undefined ? (family === 4 ? 32 : 128) : Number(bits);
  if (!Number.isInteger(length) || length < 0 || length > (family === 4 ? 32 : 128)) return false;
  list.addSubnet(network, length, kind);
  return list.check(address, kind);
}

export function isBlock(text: string): boolean {
  const [network = '', bits, more] = text.split('/');
  const family = isIP(network);
  if (family === 0 || more !== undefined) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** Whether one block holds all of another. */
export function contains(outer: string, inner: string): boolean {
  const [network = '', bits] = inner.split('/');
  const [own = '', ownBits] = outer.split('/');
  const whole = isIP(own) === 4 ? 32 : 128;
  return Number(ownBits ?? whole) <= Number(bits ?? whole) && isInBlock(outer, network);
}
