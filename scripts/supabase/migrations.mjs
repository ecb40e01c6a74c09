// Applies supabase/migrations in order, each in one transaction, and remembers them where the Supabase CLI does.

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const HISTORY_SQL = `
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text primary key, statements text[], name text
);
`;

/** @returns {{version: string, name: string, file: string, text: string}[]} */
function readMigrations(folder) {
  return readdirSync(folder)
    .map((file) => ({ file, match: /^(\d{14})_([a-z0-9_]+)\.sql$/.exec(file) }))
    .filter(({ match }) => match)
    .map(({ file, match }) => ({ version: match[1], name: match[2], file, text: readFileSync(path.join(folder, file), 'utf8') }))
    .sort((a, b) => a.version.localeCompare(b.version));
}

/**
 * @param {import('./database.mjs').Database} database
 * @returns {Promise<number>} how many were new
 */
export async function applyMigrations(database, folder) {
  await database.run(HISTORY_SQL);
  const rows = await database.query('select version, statements from supabase_migrations.schema_migrations');
  const applied = new Map(rows.map((row) => [row.version, row.statements]));
  let count = 0;
  for (const migration of readMigrations(folder)) {
    if (applied.has(migration.version)) {
      if (applied.get(migration.version)?.[0] !== migration.text) {
        throw new Error(`${migration.file} was changed after it had been applied: add a new migration, or start from an empty data folder`);
      }
      continue;
    }
    try {
      await database.transaction(async (transaction) => {
        await transaction.run(migration.text);
        await transaction.query(
          'insert into supabase_migrations.schema_migrations (version, statements, name) values ($1, array[$2]::text[], $3)',
          [migration.version, migration.text, migration.name],
        );
      });
    } catch (error) {
      throw new Error(`${migration.file}: ${error.message}`, { cause: error });
    }
    count += 1;
  }
  return count;
}
