// The keys of one local Supabase, made on its first start and kept in its data folder.
// access.json is for clients (address and API keys); secrets.json is for the server alone, but for its signing key: an edge
// that writes tokens for people of other issuers has it too, as it has a hosted project's.

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as jose from 'jose';

const random = (bytes) => randomBytes(bytes).toString('base64url');

/** @returns {{url: string, publishable_key: string, secret_key: string}} what a client needs, or undefined before the first start */
export function readAccess(dataDir) {
  return readJson(path.join(dataDir, 'access.json'));
}

/** @returns {object} the private JWK that tokens are signed with, with its `kid`; undefined before the first start */
export function readSigningKey(dataDir) {
  return readJson(path.join(dataDir, 'secrets.json'))?.signing_key;
}

/** Writes where the server now answers; the keys stay those of the first start. */
export function writeAccess(dataDir, url) {
  const known = readAccess(dataDir);
  const access = {
    url,
    publishable_key: known?.publishable_key ?? `sb_publishable_${random(24)}`,
    secret_key: known?.secret_key ?? `sb_secret_${random(24)}`,
  };
  writeJson(path.join(dataDir, 'access.json'), access);
  return access;
}

/** @returns {Promise<{jwt_secret: string, database_password: string, signing_key: object}>} */
export async function ensureSecrets(dataDir) {
  const file = path.join(dataDir, 'secrets.json');
  const known = readJson(file);
  if (known) return known;
  const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
  const secrets = {
    jwt_secret: random(48),
    database_password: random(24),
    signing_key: { ...(await jose.exportJWK(privateKey)), alg: 'ES256', kid: crypto.randomUUID() },
  };
  writeJson(file, secrets);
  return secrets;
}

function readJson(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/** Whole or not at all: a kill between the two steps leaves the old file. */
function writeJson(file, value) {
  writeFileSync(`${file}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
