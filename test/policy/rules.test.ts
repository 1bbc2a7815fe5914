// Each lint rule by the example of its own page: it fires on what is wrong there, and is silent once that is mended.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding } from '../../src/base/finding.ts';
import { RULE_PAGES } from '../../src/policy/form-pages.ts';
import { lintAll } from '../../src/policy/lint-all.ts';
import { mended } from '../support/generated.ts';

function lint(text: string): readonly Finding[] {
  const version = /--mesh-version (\S+)/.exec(text)?.[1];
  return lintAll([{ file: 'p.yaml', text }], undefined, version === undefined ? {} : { version }).findings;
}

for (const page of RULE_PAGES) {
  // What `lint` judges by its own schema is an error only where rules are enforced.
  if (page.id === 'foreign-policy') continue;
  test(`${page.id} is found on its page's example, with its place, and not on the mended one`, () => {
    const found = lint(page.wrong).filter(({ rule }) => rule === page.id);
    assert.ok(found.length > 0, JSON.stringify(lint(page.wrong)));
    for (const { severity, place, what } of found) {
      assert.ok(severity === page.severity || page.id === 'unknown-host', `${severity} instead of ${page.severity}`);
      assert.equal(place?.file, 'p.yaml');
      assert.notEqual(what, '');
    }
    const right = mended(page);
    assert.notEqual(right, page.wrong);
    assert.deepEqual(
      lint(right).filter(({ rule }) => rule === page.id),
      [],
    );
  });

  test(`${page.id}: each replacement of its page is necessary for what it says`, () => {
    for (const [from] of page.mend) assert.ok(page.wrong.includes(from), from);
  });
}
