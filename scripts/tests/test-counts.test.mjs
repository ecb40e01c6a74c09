// The numbers at the end of `npm test` come from what the test programs print.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countTests } from '../lib/test-counts.mjs';

const CASES = [
  ['cargo', 'test result: ok. 12 passed; 0 failed; 0 ignored\n\ntest result: FAILED. 3 passed; 2 failed; 0 ignored\n', 15, 2],
  ["node's spec reporter", '✔ x (1ms)\nℹ tests 4\nℹ pass 3\nℹ fail 1\n', 3, 1],
  ["node's TAP reporter", '# tests 2\n# pass 2\n# fail 0\n', 2, 0],
  ['Playwright', '  1 failed\n    page.spec.mjs:3:1 › a\n  4 passed (3.1s)\n', 4, 1],
  ["Python's unittest", 'Ran 17 tests in 3.2s\n\nFAILED (failures=1, errors=2)\n', 14, 3],
  ["Python's unittest with errors alone", 'Ran 4 tests in 0.1s\n\nFAILED (errors=1)\n', 3, 1],
  ["Python's unittest when all is well", 'Ran 1 test in 0.1s\n\nOK\n', 1, 0],
  ['nothing', 'no tests here', 0, 0],
];

for (const [program, output, passed, failed] of CASES) {
  test(`${program} is counted`, () => assert.deepEqual(countTests(output), { passed, failed }));
}
