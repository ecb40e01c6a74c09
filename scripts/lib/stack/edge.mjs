// The edge of a local stack: `wrangler dev` on a copy of the built Worker, so that a later build does not disturb a running one.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from '../paths.mjs';

/** wrangler shows other variables when it starts. */
const SECRETS = ['SUPABASE_PUBLISHABLE_KEY', 'SUPABASE_SECRET_KEY', 'NODE_TOKEN', 'NODE_JOIN_TOKEN', 'METRICS_TOKEN', 'JWT_HS256_SECRET', 'DISCORD_WEBHOOK_URL', 'WEBHOOK_SECRET', 'SUPABASE_SIGNING_KEY'];

const folderOf = (dir) => join(dir, 'edge');

/** Copies the build into the stack's folder. */
export function placeEdge(dir, buildFolder) {
  const target = join(folderOf(dir), 'worker');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  cpSync(buildFolder, target, { recursive: true, filter: (path) => !path.endsWith('.tmp') });
}

/** wrangler.toml as this stack needs it: prebuilt, and with the stack's variables and secrets. */
export async function configureEdge(dir, vars, deliveries = {}) {
  // Imported late: ending a stack must not need any package.
  const { parse } = await import('smol-toml');
  const { env: _environments, build: _build, ...config } = parse(readFileSync(inRoot('wrangler.toml'), 'utf8'));
  config.main = 'worker/index.js';
  for (const consumer of config.queues.consumers) consumer.max_retries = deliveries[consumer.queue] ?? consumer.max_retries;
  const isSecret = ([name]) => SECRETS.includes(name);
  config.vars = { ...config.vars, ...Object.fromEntries(Object.entries(vars).filter((entry) => !isSecret(entry))) };
  writeFileSync(join(folderOf(dir), 'wrangler.json'), JSON.stringify(config, null, 2));
  const lines = Object.entries(vars).filter(isSecret).map(([name, value]) => `${name}=${quoted(value)}\n`);
  writeFileSync(join(folderOf(dir), '.dev.vars'), lines.join(''), { mode: 0o600 });
}

/** A key is JSON, full of double quotes. */
const quoted = (value) => (value.includes('"') ? `'${value}'` : `"${value}"`);

/** What the Worker must know of the rest of the stack. */
export function edgeVars({ supabaseUrl, publishableKey, secretKey, signingKey, secrets, issuers = [], vars }) {
  const issuer = `${supabaseUrl}/auth/v1`;
  return {
    ENVIRONMENT: 'local',
    SUPABASE_URL: supabaseUrl,
    JWT_ISSUERS: JSON.stringify([{ issuer, audience: 'authenticated', algorithms: ['ES256'], jwks_url: `${issuer}/.well-known/jwks.json` }, ...issuers]),
    ...(issuers.length && { JWT_HS256_SECRET: secrets.issuer_secret, SUPABASE_SIGNING_KEY: JSON.stringify(signingKey) }),
    SUPABASE_PUBLISHABLE_KEY: publishableKey,
    SUPABASE_SECRET_KEY: secretKey,
    NODE_TOKEN: secrets.node_token,
    NODE_JOIN_TOKEN: secrets.node_join_token,
    METRICS_TOKEN: secrets.metrics_token,
    ...(process.env.DISCORD_WEBHOOK_URL && { DISCORD_WEBHOOK_URL: process.env.DISCORD_WEBHOOK_URL }),
    ...(process.env.WEBHOOK_URL && { WEBHOOK_URL: process.env.WEBHOOK_URL, WEBHOOK_SECRET: process.env.WEBHOOK_SECRET ?? '' }),
    ...vars,
  };
}

/** The command line of `wrangler dev`. */
export function edgeCommand(dir, { port, inspectorPort }) {
  return {
    program: 'node',
    args: [
      inRoot('node_modules', 'wrangler', 'bin', 'wrangler.js'),
      ...['dev', '--config', join(folderOf(dir), 'wrangler.json'), '--ip', '127.0.0.1', '--port', String(port)],
      ...['--inspector-port', String(inspectorPort), '--persist-to', join(folderOf(dir), 'state')],
      ...['--show-interactive-dev-session=false'],
    ],
    cwd: folderOf(dir),
    // Two stacks must not see each other through wrangler's folder in the home directory.
    env: { WRANGLER_REGISTRY_PATH: join(folderOf(dir), 'registry'), WRANGLER_LOG_PATH: join(folderOf(dir), 'log'), NO_COLOR: '1' },
    // Not /api/health: that also asks the database, which may be down on purpose.
    health: `http://127.0.0.1:${port}/`,
    refusal: /the configuration is not valid[^"\n]*/,
  };
}
