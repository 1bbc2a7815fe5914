// Where in a text something stands. Lines and columns start at 1, as editors count.

export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** `file:line:column`, the form that terminals and editors make clickable. */
export function printPlace(place: Place): string {
  return `${place.file}:${place.line}:${place.column}`;
}
