// The database behind the local Supabase: PGlite in this process, or a PostgreSQL that it starts and stops.
// Both come with lite's connection; `run` takes several statements at once, which lite's own `exec` does not.

import { rm } from 'node:fs/promises';
import path from 'node:path';
import { startPostgres } from './postgres.mjs';

export const DRIVERS = ['pglite', 'postgres'];

/**
 * @typedef {{run(sql: string): Promise<void>, query(sql: string, values?: unknown[]): Promise<object[]>}} Session
 * @typedef {Session & {connection: object, transaction(work: (session: Session) => Promise<void>): Promise<void>, close(): Promise<void>, lost: Promise<Error>}} Database
 */

/** @returns {Promise<Database>} */
export async function openDatabase(driver, dataDir, password) {
  return driver === 'postgres' ? openPostgres(dataDir, password) : openPglite(dataDir);
}

async function openPglite(dataDir) {
  const { createPgliteConnection } = await import('@supabase/lite/pglite');
  const folder = path.join(dataDir, 'pglite');
  // Left by a killed predecessor; server.pid already says that nobody else is here.
  await rm(path.join(folder, 'postmaster.pid'), { force: true });
  const connection = await createPgliteConnection({ url: folder });
  const { driver } = connection;
  const session = (target) => ({
    run: async (sql) => void (await target.exec(sql)),
    query: async (sql, values = []) => (await target.query(sql, values)).rows,
  });
  await driver.waitReady;
  return {
    connection,
    ...session(driver),
    transaction: (work) => driver.transaction((transaction) => work(session(transaction))),
    close: () => connection.close(),
    lost: new Promise(() => {}),
  };
}

async function openPostgres(dataDir, password) {
  const server = await startPostgres(path.join(dataDir, 'postgres'), password);
  const { createPostgresConnection } = await import('@supabase/lite/postgres');
  const connection = createPostgresConnection({
    url: server.url,
    postgresOptions: { max: 10, onnotice: () => {} },
  });
  const { driver } = connection;
  const session = (target) => ({
    run: async (sql) => void (await target.unsafe(sql)),
    query: async (sql, values = []) => [...(await target.unsafe(sql, values))],
  });
  return {
    connection,
    ...session(driver),
    transaction: (work) => driver.begin((transaction) => work(session(transaction))),
    async close() {
      // Without a limit it waits for ever for a request that was cut off.
      await driver.end({ timeout: 2 });
      await server.stop();
    },
    lost: server.lost,
  };
}
