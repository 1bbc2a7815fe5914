// Byte counts for people: `0B`, `812KiB`, `48MiB`, `1.2GiB`.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function printBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value < 10 && unit > 0 ? Number(value.toFixed(1)) : Math.round(value)}${UNITS[unit]}`;
}
