// What is published is the same Worker with the same bindings as locally, with queues of its own.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { deployConfig } from '../lib/deploy-config.mjs';
import { inRoot } from '../lib/paths.mjs';

const toml = readFileSync(inRoot('wrangler.toml'), 'utf8');
const filled = toml.replaceAll('SUPABASE_URL = ""', 'SUPABASE_URL = "https://x.example"').replaceAll('JWT_ISSUERS = "[]"', `JWT_ISSUERS = '[{"issuer":"x"}]'`);

test('an environment has every binding of the top level', () => {
  const config = deployConfig(filled, 'production');
  assert.equal(config.name, 'chandelle-edge-production');
  assert.equal(config.vars.ENVIRONMENT, 'production');
  assert.equal(config.vars.LEASE_SECONDS, '30');
  assert.deepEqual(config.durable_objects.bindings.map(({ name }) => name), ['ACCOUNT', 'JOB_ROOM', 'FLEET', 'TEXT_ROOM']);
  assert.equal(config.ratelimits.length, 3);
  assert.equal(config.build, undefined);
});

test('queues and their dead-letter queues carry the environment in their names', () => {
  const { producers, consumers } = deployConfig(filled, 'staging').queues;
  assert.ok([...producers, ...consumers].every(({ queue }) => queue.endsWith('-staging')));
  const dead = consumers.map((consumer) => consumer.dead_letter_queue).filter(Boolean);
  for (const name of dead) assert.ok(consumers.some(({ queue }) => queue === name), `${name} is consumed`);
});

test('an unknown or unfinished environment is refused', () => {
  assert.throws(() => deployConfig(toml, undefined), /--env staging\|production/);
  assert.throws(() => deployConfig(toml, 'production'), /set SUPABASE_URL and JWT_ISSUERS/);
});
