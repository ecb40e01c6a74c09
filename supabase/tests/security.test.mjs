// The guards that no table and no function can be forgotten: both lists come from the database itself.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { anon, ok, refused, service, signUp } from './support.mjs';

/** What a signed-in person may call. It should only ever grow on purpose. */
const FOR_PEOPLE = ['cancel_job', 'create_job', 'get_credits', 'is_admin', 'open_text_run', 'remove_finished_jobs', 'replay_outbox', 'withdraw_job'];

describe('security', () => {
  let person, admin, tables, functions;
  before(async () => {
    [person, admin] = [await signUp(), await signUp({ isAdmin: true })];
    ({ tables, functions } = await ok(service.rpc('describe_security')));
  });

  /** A call with every argument present, so that it is found and only its right is in question. */
  const call = (client, { name, arguments: signature }) => client.rpc(name, Object.fromEntries(
    signature.split(', ').filter(Boolean).map((argument) => [argument.split(' ')[0], null]),
  ));

  test('every table has row-level security', () => {
    assert.ok(tables.length > 0);
    assert.deepEqual(tables.filter((table) => !table.has_rls), []);
  });

  test('every table has a test file of its own', () => {
    const files = readdirSync(new URL('.', import.meta.url));
    assert.deepEqual(tables.filter(({ name }) => !files.includes(`${name}.test.mjs`)), []);
  });

  test('anon reads no table', async () => {
    for (const { name } of tables) await refused(anon.from(name).select(), 401);
  });

  test('anon calls no function', async () => {
    assert.ok(functions.length > FOR_PEOPLE.length);
    for (const each of functions) await refused(call(anon, each), 401);
  });

  test('people call the functions made for them and no other, admins no more', async () => {
    for (const each of functions.filter(({ name }) => !FOR_PEOPLE.includes(name))) {
      await refused(call(person.client, each), 403);
      await refused(call(admin.client, each), 403);
    }
    assert.deepEqual(functions.filter((each) => each.authenticated).map(({ name }) => name).sort(), FOR_PEOPLE);
  });

  test('the private schema cannot be reached', async () => {
    for (const client of [anon, person.client, service]) {
      const answer = await client.schema('private').rpc('is_service');
      assert.notEqual(answer.error, null);
      assert.ok([401, 403, 404, 406].includes(answer.status), String(answer.status));
    }
  });
});
