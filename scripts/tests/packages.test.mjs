// What the commands rely on before anything is installed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packagesAreInstalled } from '../lib/packages.mjs';
import { atLeast, lockedVersion, pinnedRust } from '../lib/paths.mjs';

test('versions compare by number, not by text', () => {
  assert.ok(atLeast('v22.12.0', [22, 12]));
  assert.ok(atLeast('22.9.0', [22, 2]));
  assert.ok(atLeast('24.1', [22, 12]));
  assert.ok(!atLeast('v20.20.2', [22, 12]));
  assert.ok(!atLeast('22.11.9', [22, 12]));
});

test('the pinned versions are found where they are written', () => {
  assert.match(pinnedRust(), /^\d+\.\d+\.\d+$/);
  assert.match(lockedVersion('wasm-bindgen'), /^0\.2\.\d+$/);
  assert.equal(lockedVersion('no-such-crate'), undefined);
});

test('installed packages are seen as installed', () => {
  assert.equal(packagesAreInstalled(), true);
});
