// What the commands rely on before anything is installed.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { packagesAreInstalled } from '../lib/packages.mjs';
import { atLeast, inRoot, lockedVersion, pinnedRust } from '../lib/paths.mjs';

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

test('the lock file names every package, also those for other systems: without them npm ci refuses it', () => {
  const { packages } = JSON.parse(readFileSync(inRoot('package-lock.json'), 'utf8'));
  const known = new Set(Object.keys(packages).map((path) => path.replace(/^.*node_modules\//, '')));
  const missing = Object.values(packages).flatMap(({ dependencies, optionalDependencies }) =>
    Object.keys({ ...dependencies, ...optionalDependencies }).filter((name) => !known.has(name)),
  );
  assert.deepEqual(missing, []);
});

test('the lock file names no registry', () => {
  assert.doesNotMatch(readFileSync(inRoot('package-lock.json'), 'utf8'), /"resolved":/);
});
