// `npm run deploy -- --env NAME [--dry-run]`: builds the Worker and publishes one environment of wrangler.toml.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { buildEdge } from './lib/edge-build.mjs';
import { nodeEnv } from './lib/packages.mjs';
import { inRoot, LOCAL, ROOT } from './lib/paths.mjs';
import { foreground } from './lib/processes.mjs';
import { command, Problem, say } from './lib/progress.mjs';
import { ensureSetup } from './lib/setup.mjs';

await command(async () => {
  const { values } = parseArgs({ options: { env: { type: 'string' }, 'dry-run': { type: 'boolean', default: false } } });
  await ensureSetup();
  const { deployConfig } = await import('./lib/deploy-config.mjs');
  const config = deployConfig(readFileSync(inRoot('wrangler.toml'), 'utf8'), values.env);
  const folder = join(LOCAL, 'deploy', values.env);
  config.main = relative(folder, join(await buildEdge('release'), 'index.js'));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'wrangler.json'), JSON.stringify(config, null, 2));
  say(`publishing ${config.name}`);
  const args = ['deploy', '--config', join(folder, 'wrangler.json'), ...(values['dry-run'] ? ['--dry-run'] : [])];
  const code = await foreground('wrangler', args, { cwd: ROOT, env: nodeEnv() });
  if (code !== 0) throw new Problem(`wrangler deploy failed (${code})`);
});
