// lite's application on an open database: configured from supabase/config.toml, its defects mended, migrations applied.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'smol-toml';
import { fixDriver } from './driver-fixes.mjs';
import { FileStore } from './file-store.mjs';
import { applyMigrations } from './migrations.mjs';
import { ROLES_SQL, SYSTEM_GRANTS_SQL } from './roles.mjs';

// lite reads them when it is first imported.
process.env.LITE_TELEMETRY = '0';
process.env.EXPERIMENTAL_STORAGE = '1';

/** @returns {Promise<{app: object, migrationCount: number}>} */
export async function createApp({ database, dataDir, projectDir, access, secrets }) {
  const { App } = await import('@supabase/lite');
  const config = parse(readFileSync(path.join(projectDir, 'config.toml'), 'utf8'));
  const app = new App({
    connection: database.connection,
    project_id: config.project_id,
    api: { schemas: config.api.schemas, max_rows: config.api.max_rows },
    db: { migrations: { enabled: false }, seed: { enabled: false } },
    auth: {
      ...config.auth,
      jwt_secret: secrets.jwt_secret,
      publishable_key: access.publishable_key,
      secret_key: access.secret_key,
    },
    storage: config.storage,
    options: { server: { admin: false } },
  });
  app._storageAdapter = new FileStore(path.join(dataDir, 'storage'));

  fixDriver(database.connection);
  await database.run(ROLES_SQL);
  await app.init();
  await app.ensureSystemSchema();
  await database.run(SYSTEM_GRANTS_SQL);
  const migrationCount = await applyMigrations(database, path.join(projectDir, 'migrations'));
  // lite reads the schema on the first query; better before READY than in somebody's request.
  await database.connection.introspect({ useCache: true });
  return { app, migrationCount };
}
