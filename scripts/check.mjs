// `npm run check`: formatting, lints (native and wasm) and licences; what CI requires beside the tests.

import { delimiter } from 'node:path';
import { ensurePackages } from './lib/packages.mjs';
import { inRoot, ROOT } from './lib/paths.mjs';
import { reaches } from './lib/ports.mjs';
import { capture, foreground } from './lib/processes.mjs';
import { command, Problem, say, seconds } from './lib/progress.mjs';
import { ensureWasmToolchain, wasmToolchain } from './lib/wasm-toolchain.mjs';

await command(async () => {
  await ensurePackages();
  await ensureWasmToolchain();
  await check('format', ['fmt', '--all', '--check']);
  await check('lints', ['clippy', '--workspace', '--exclude', 'gpu-node', '--all-targets', '--', '-D', 'warnings']);
  // candle is compiled once, for the tests and the node itself, in release.
  await check('lints of the node', ['clippy', '--release', '-p', 'gpu-node', '--all-targets', '--', '-D', 'warnings']);
  await checkWasm();
  if (!capture('cargo', ['deny', '--version'])) say('- licences, sources and known defects: skipped, cargo-deny is not installed');
  else await checkDependencies();
  if (capture('cargo', ['shear', '--version'])) await check('unused dependencies', ['shear']);
  else say('- unused dependencies: skipped, cargo-shear is not installed');
});

async function checkDependencies() {
  await check('licences and sources', ['deny', 'check', 'bans', 'licenses', 'sources']);
  if (await reaches('github.com')) await check('known defects', ['deny', 'check', 'advisories']);
  else say('- known defects: skipped, the advisory database is out of reach');
}

async function check(name, args, env = process.env) {
  say(`━━ ${name}: cargo ${args.join(' ')}`);
  const started = Date.now();
  const code = await foreground('cargo', args, { cwd: ROOT, env });
  if (code !== 0) throw new Problem(`${name} failed`);
  say(`✓ ${name} (${seconds(Date.now() - started)})`);
}

/** shared is built alone too: features unify, and a native one must not slip into the Worker. */
async function checkWasm() {
  const toolchain = wasmToolchain();
  const env = { ...process.env, ...toolchain, PATH: [inRoot('node_modules', '.bin'), process.env.PATH].join(delimiter) };
  // Debian's toolchain has no clippy: there the compiler's own warnings must do.
  const verb = toolchain.RUSTUP_TOOLCHAIN || toolchain.RUSTC ? ['check'] : ['clippy'];
  const deny = verb[0] === 'clippy' ? ['--', '-D', 'warnings'] : [];
  for (const crate of ['chandelle-shared', 'edge']) {
    await check(`wasm lints of ${crate}`, [...verb, '-p', crate, '--lib', '--target', 'wasm32-unknown-unknown', ...deny], env);
  }
}
