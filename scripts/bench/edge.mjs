// The edge against the same route in JavaScript, both in plain `workerd serve`: CPU per request and latency.

import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { freePorts, waitFor } from '../lib/ports.mjs';
import { ours, peer } from './edge/config.mjs';
import { buildEdge } from '../lib/edge-build.mjs';
import { load, orders } from './edge/load.mjs';
import { median, root } from './report.mjs';

const folder = `${root}/.local/bench-edge`;
const SECRET = 'a secret for benchmarks of at least 32 characters';
const ISSUER = 'https://issuer.example';
const SECONDS = Number(process.env.BENCH_SECONDS ?? 4);
const ROUNDS = 3;
// Every rule is checked and one is broken, so that the answer comes from validation and from nothing behind it.
const BODY = JSON.stringify({ world: 'forest', era: 'medieval era', class: 'a red star', pose: 'in the centre', decor: '' });

const compatibilityDate = readFileSync(`${root}/wrangler.toml`, 'utf8').match(/compatibility_date = "(.*)"/)[1];

/** All files of a build as workerd modules; the entry first. */
function modulesOf(path, entry) {
  const files = readdirSync(path, { recursive: true }).filter((name) => !name.startsWith('.tmp') && statSync(`${path}/${name}`).isFile());
  const sorted = files.filter((name) => /\.(js|wasm)$/.test(name)).sort((a, b) => (b === entry) - (a === entry));
  return sorted.map((name) => {
    const kind = name.endsWith('.wasm') ? 'wasm' : 'esModule';
    // Relative to the configuration: an absolute path means something else to capnp.
    return `(name = "${name}", ${kind} = embed "${relative(folder, `${path}/${name}`)}")`;
  });
}

async function serve(name, capnp, port) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/${name}.capnp`, capnp);
  const child = spawn(`${root}/node_modules/.bin/workerd`, ['serve', `${folder}/${name}.capnp`], { stdio: ['ignore', 'inherit', 'inherit'] });
  await waitFor(`http://127.0.0.1:${port}/axum/hello`, { timeoutMs: 15_000 }).catch(() => {});
  return { child, url: `http://127.0.0.1:${port}` };
}

async function keySet() {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'bench', alg: 'ES256', use: 'sig' };
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, privateKey, url: `http://127.0.0.1:${server.address().port}/jwks.json` };
}

const sign = (alg, key, n) =>
  new SignJWT({ role: 'authenticated', n })
    .setProtectedHeader({ alg, typ: 'JWT', ...(alg === 'ES256' ? { kid: 'bench' } : {}) })
    .setIssuer(ISSUER)
    .setAudience('authenticated')
    .setSubject('6c1f7b3e-5a38-4c7e-9b90-8a3f0e2d4c55')
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(key);

function varsFor(alg, jwksUrl) {
  const issuer = { issuer: ISSUER, audience: 'authenticated', algorithms: [alg], ...(alg === 'ES256' ? { jwks_url: jwksUrl } : { hs256_secret_name: 'JWT_HS256_SECRET' }) };
  return {
    ENVIRONMENT: 'local', SUPABASE_URL: 'http://127.0.0.1:9', JWT_ISSUERS: JSON.stringify([issuer]), CORS_ORIGINS: '', NODES: '', SCENE_MODEL: 'embedded-scene',
    LEASE_SECONDS: '30', QUEUED_GRACE_SECONDS: '60', SUPABASE_PUBLISHABLE_KEY: 'sb_publishable_x', SUPABASE_SECRET_KEY: 'sb_secret_x',
    NODE_TOKEN: 'x', NODE_JOIN_TOKEN: 'x', METRICS_TOKEN: 'x', JWT_HS256_SECRET: SECRET,
  };
}

async function servers(alg, jwksUrl) {
  const [mine, theirs] = await freePorts(2);
  const vars = varsFor(alg, jwksUrl);
  const bundle = `${folder}/peer.js`;
  await build({ entryPoints: [`${root}/scripts/bench/edge/peer.js`], bundle: true, minify: true, format: 'esm', platform: 'browser', conditions: ['workerd'], outfile: bundle, logLevel: 'error' });
  const peerVars = { ISSUER, ...(alg === 'ES256' ? { JWKS_URL: jwksUrl } : { HS256_SECRET: SECRET }) };
  return {
    edge: await serve(`edge-${alg}`, ours({ port: mine, modules: modulesOf(`${root}/edge/build`, 'index.js'), vars, compatibilityDate }), mine),
    peer: await serve(`peer-${alg}`, peer({ port: theirs, modules: [`(name = "peer.js", esModule = embed "peer.js")`], vars: peerVars, compatibilityDate }), theirs),
  };
}

async function compare(alg, running, tokens) {
  const rounds = { edge: [], peer: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, { url, child }] of Object.entries(running)) {
      rounds[name].push(await load({ url, pid: child.pid, requests: orders(tokens(round), BODY), expected: 422, seconds: SECONDS }));
    }
  }
  const middle = (name, figure) => median(rounds[name].map((round) => round[figure]));
  return ['cpuMicros', 'p50', 'p99', 'perSecond'].map((figure) => [middle('edge', figure), middle('peer', figure)]);
}

/** Two small routes through axum and our bridge, and through the crate's own Router: one Worker, taking turns. */
export async function benchRouters() {
  const folderOfBench = await buildEdge('bench');
  const [port] = await freePorts(1);
  const vars = varsFor('HS256');
  const { child, url } = await serve('routers', ours({ port, modules: modulesOf(folderOfBench, 'index.js'), vars, compatibilityDate }), port);
  try {
    const token = await sign('HS256', new TextEncoder().encode(SECRET), 0);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const routes = [
      ['trivial route', (prefix) => ({ method: 'GET', path: `/${prefix}/hello` })],
      ['HS256 verified, 112 bytes of JSON sent', (prefix) => ({ method: 'POST', path: `/${prefix}/token`, headers, body: BODY })],
    ];
    const measure = (request) => load({ url, pid: child.pid, requests: [request], expected: 200, seconds: SECONDS });
    const rows = [];
    for (const [name, request] of routes) {
      const rounds = { axum: [], router: [] };
      for (const prefix of ['axum', 'router']) await measure(request(prefix));
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const prefix of ['axum', 'router']) rounds[prefix].push((await measure(request(prefix))).cpuMicros);
      }
      const [ours, theirs] = [median(rounds.axum), median(rounds.router)];
      rows.push([name, `${ours.toFixed(0)} / ${theirs.toFixed(0)} µs`, `${(ours - theirs).toFixed(0)} µs`, '≤ 60 µs']);
    }
    return rows;
  } finally {
    child.kill('SIGKILL');
  }
}

/** Figures for each algorithm, with first-seen and with repeated tokens, and the size of the wasm. */
export async function benchEdge() {
  const rows = [];
  const keys = await keySet();
  try {
    for (const alg of ['HS256', 'ES256']) {
      const key = alg === 'ES256' ? keys.privateKey : new TextEncoder().encode(SECRET);
      const fresh = await Promise.all(Array.from({ length: 3 * 20_000 }, (_, n) => sign(alg, key, n)));
      const running = await servers(alg, keys.url);
      try {
        await compare(alg, running, () => fresh.slice(0, 1));
        for (const [kind, tokens] of [['first-seen', (round) => fresh.slice(round * 20_000, (round + 1) * 20_000)], ['repeated', () => fresh.slice(0, 1)]]) {
          const [cpu, p50, p99, rate] = await compare(alg, running, tokens);
          rows.push([
            `${alg}, ${kind} tokens`, `${cpu[0].toFixed(0)} / ${cpu[1].toFixed(0)} µs`, (cpu[0] / cpu[1]).toFixed(2),
            `${p50[0]} / ${p50[1]} ms`, `${p99[0]} / ${p99[1]} ms`, `${rate[0].toFixed(0)} / ${rate[1].toFixed(0)}`,
          ]);
        }
      } finally {
        for (const { child } of Object.values(running)) child.kill('SIGKILL');
      }
    }
  } finally {
    keys.server.close();
  }
  const wasm = readdirSync(`${root}/edge/build`, { recursive: true }).find((name) => name.endsWith('.wasm'));
  const bytes = gzipSync(readFileSync(`${root}/edge/build/${wasm}`), { level: 9 }).length;
  return { rows, wasmKiB: Math.round(bytes / 1024) };
}
