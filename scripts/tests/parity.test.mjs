import assert from 'node:assert/strict';
import test from 'node:test';
import { paritySection, readParity } from '../lib/parity.mjs';

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

test('a component with a bound of its own is told with it', () => {
  const found = readParity('test sd3::runs_agree ... latents: differs by 3.1e-3 of 8.0e-3\nlatents: differs by 4.0e-3 of 8.0e-3\nvae: differs by 2.0e-6\nok\n');
  assert.deepEqual(found.agreements, [
    { module: 'sd3', what: 'latents', difference: '4.0e-3', allowed: '8.0e-3' },
    { module: 'sd3', what: 'vae', difference: '2.0e-6' },
  ]);
  const section = paritySection({ title: 'Images', reference: 'a library', tolerance: 'twice' }, found);
  assert.match(section, /\| component \| differs by \| allowed \|/);
  assert.match(section, /\| sd3 \| latents \| 4\.0e-3 \| 8\.0e-3 \|\n\| sd3 \| vae \| 2\.0e-6 \|  \|/);
});
