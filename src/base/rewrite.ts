// YAML text → YAML text: single values replaced, everything else, comments too, as it was.
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  parseAllDocuments,
  visit,
  Document as YamlDocument,
} from 'yaml';

export interface Item {
  readonly value: unknown;
  /** Stands after it on its line. */
  readonly comment?: string;
}

type AnyDocument = Document.Parsed | Document;

/** Lists that a rule fits on one line with. */
const FLOW_CHARS = 80;
const WIDTH = { lineWidth: 0, flowCollectionPadding: false, indent: 2 } as const;

/**
 * The text with the list under a top-level key replaced: in the first document that has the key, else in the first one; in others the key goes.
 * Comments inside the old list go with it. Throws an Error for text that is not YAML.
 */
export function replaceList(text: string, key: string, items: readonly Item[]): string {
  const documents = parse(text);
  const holder = documents.find((document) => document.has(key)) ?? documents[0];
  for (const document of documents) {
    if (document === holder) document.set(key, makeList(document, items));
    else if (document.has(key)) document.delete(key);
  }
  return print(documents);
}

export interface Change {
  /** What stands in place of an element: one value or several; undefined leaves it as it is. */
  readonly replace: (value: unknown) => readonly unknown[] | undefined;
  /** Two neighbours as one, where nothing stands between them; undefined leaves them apart. */
  readonly merge?: (first: unknown, second: unknown) => unknown;
}

/**
 * The text with the elements of some top-level lists changed. What changes keeps the comments around it, and is written in one shape; all else
 * is as it was. Throws an Error for text that is not YAML.
 */
export function mapLists(text: string, keys: readonly string[], { replace, merge }: Change): string {
  const documents = parse(text);
  for (const document of documents)
    for (const key of keys) {
      const list = document.get(key);
      if (!isSeq(list)) continue;
      const items = (list.items as Node[]).flatMap((node) => {
        // What is named elsewhere in the text must stay what it is.
        const values = isAlias(node) || holdsAnchor(node) ? undefined : replace(node.toJS(document));
        return values === undefined ? [node] : replaced(document, node, values);
      });
      list.items = merge === undefined ? items : joined(document, items, merge);
    }
  return print(documents);
}

/** The new nodes, with the comments of the old one before and behind the first of them. */
function replaced(document: AnyDocument, old: Node, values: readonly unknown[]): Node[] {
  return values.map((value, i) => {
    const node = makeNode(document, value);
    if (i > 0) return node;
    node.commentBefore = old.commentBefore ?? commentBeforeFirst(old);
    const comment = [old.comment, ...commentsInside(old)].filter((each) => typeof each === 'string').join(' ');
    if (comment !== '') putBehind(node, comment);
    node.spaceBefore = old.spaceBefore ?? false;
    return node;
  });
}

function joined(document: AnyDocument, items: readonly Node[], merge: (first: unknown, second: unknown) => unknown): Node[] {
  const result: Node[] = [];
  for (const node of items) {
    const before = result.at(-1);
    const apart = before === undefined || [before, node].some(holdsAnchor) || hasComments(node) || node.spaceBefore === true;
    const value = apart || before === undefined ? undefined : merge(before.toJS(document), node.toJS(document));
    if (value === undefined || before === undefined) result.push(node);
    else result.splice(-1, 1, ...replaced(document, before, [value]));
  }
  return result;
}

function hasComments(node: Node): boolean {
  return Boolean(node.commentBefore || node.comment || commentBeforeFirst(node) || commentsInside(node).length > 0);
}

/** Values as YAML documents, short collections on one line. */
export function printYaml(values: readonly unknown[]): string {
  return values
    .map((value) => {
      const document = new YamlDocument(value, { aliasDuplicateObjects: false });
      visit(document, {
        Collection: (_key, node) => {
          if (JSON.stringify(node.toJS(document)).length <= FLOW_CHARS) node.flow = true;
        },
      });
      if (isCollection(document.contents)) document.contents.flow = false;
      return document.toString(WIDTH);
    })
    .join('---\n');
}

/** The text in one shape: two blanks of indent, one of each kind of quote, lines as long as they are. Comments stay. */
export function reprint(text: string): string {
  return print(parse(text));
}

function parse(text: string): AnyDocument[] {
  const documents = parseAllDocuments(text, { uniqueKeys: true }) as AnyDocument[];
  const error = documents.flatMap((document) => document.errors)[0];
  if (error !== undefined) throw new Error(error.message.split('\n')[0]);
  return documents;
}

function print(documents: readonly AnyDocument[]): string {
  return documents.map((document, i) => document.toString({ ...WIDTH, ...(i > 0 ? { directives: true } : {}) })).join('');
}

function makeList(document: AnyDocument, items: readonly Item[]): Node {
  const list = document.createNode([]);
  for (const { value, comment } of items) {
    const node = makeNode(document, value);
    if (comment !== undefined) putBehind(node, ` ${comment}`);
    (list as unknown as { items: Node[] }).items.push(node);
  }
  return list as unknown as Node;
}

/** Values of a map that are short lists, or maps in a long form, stand on one line. */
function makeNode(document: AnyDocument, value: unknown): Node {
  const node = document.createNode(value) as Node;
  if (isMap(node))
    for (const pair of node.items)
      if (isCollection(pair.value) && JSON.stringify(pair.value.toJS(document)).length <= FLOW_CHARS) pair.value.flow = true;
  return node;
}

/** A comment at the end of the first line. */
function putBehind(node: Node, comment: string): void {
  const first = isMap(node) ? node.items[0]?.value : undefined;
  if (isNode(first) && (isScalar(first) || (isCollection(first) && first.flow))) first.comment = comment;
  else node.comment = comment;
}

function commentBeforeFirst(node: Node): string | null {
  if (!isMap(node)) return null;
  const key = node.items[0]?.key;
  return isNode(key) ? (key.commentBefore ?? null) : null;
}

/** Comments behind the scalars of a node. */
function commentsInside(node: Node): string[] {
  const found: string[] = [];
  visit(node, {
    Node: (_key, each) => {
      if (each !== node && typeof each.comment === 'string') found.push(each.comment);
      if (each !== node && isScalar(each) && typeof each.commentBefore === 'string' && each.commentBefore !== commentBeforeFirst(node))
        found.push(each.commentBefore);
    },
  });
  return found;
}

function holdsAnchor(node: Node): boolean {
  let found = false;
  visit(node, {
    Node: (_key, each) => {
      if (isAlias(each) || ('anchor' in each && each.anchor !== undefined)) found = true;
    },
  });
  return found;
}
