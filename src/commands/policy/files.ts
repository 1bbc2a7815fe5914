// Which files of a directory are policies.

/** YAML, but for mesh files and what packages brought. */
export function isPolicyFile(file: string): boolean {
  return /\.ya?ml$/.test(file) && !/(?:^|\/)mesh\.ya?ml$/.test(file) && !file.split('/').includes('node_modules');
}
