import assert from 'node:assert/strict';
import test from 'node:test';
import { readParity } from '../lib/parity.mjs';

test('the largest difference of each component is kept, faults apart', () => {
  const found = readParity(`
running 3 tests
test flux1::the_vae_agrees ... vae: differs by 1.2e-6
vae: differs by 3.0e-6
the shift: differs by 2.5e-1, as it should
ok
test a_plain_test ... bert: differs by 4.0e-7
ok
test other ... ok
`);
  assert.deepEqual(found.agreements, [
    { module: 'flux1', what: 'vae', difference: '3.0e-6' },
    { module: '', what: 'bert', difference: '4.0e-7' },
  ]);
  assert.deepEqual(found.faults, [{ module: 'flux1', what: 'the shift', difference: '2.5e-1' }]);
});
