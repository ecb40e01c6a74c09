// Forgets a local database, so that the next start builds it from the migrations: npm run db:reset [-- DIR]

import { rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { holderOf } from './data-folder.mjs';

const dataDir = path.resolve(process.argv[2] ?? fileURLToPath(new URL('../../.local/supabase', import.meta.url)));
const holder = holderOf(dataDir);
if (holder) {
  console.error(`process ${holder} still serves ${dataDir}: stop it first (npm run stack -- down)`);
  process.exit(1);
}
// By name, so that a mistyped folder loses nothing else.
for (const name of ['pglite', 'postgres', 'storage', 'access.json', 'secrets.json', 'server.log', 'server.pid']) {
  rmSync(path.join(dataDir, name), { recursive: true, force: true });
}
console.log(`${dataDir} is empty`);
