// The programs that turn the compiled wasm into a Worker: worker-build, wasm-bindgen, esbuild and wasm-opt.

import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { nodeEnv } from './packages.mjs';
import { CACHE, inRoot, lockedVersion, pinnedRust, toolDir, WORKER_BUILD } from './paths.mjs';
import { reaches } from './ports.mjs';
import { capture, CARGO_BAR, quietly } from './processes.mjs';
import { say, step } from './progress.mjs';
import { wasmToolchain } from './wasm-toolchain.mjs';

const BUILD = join(CACHE, 'build');

/** These programs run for seconds: compiling them well would take longer than it ever saves. */
const LIGHT = { CARGO_PROFILE_RELEASE_OPT_LEVEL: '1', CARGO_PROFILE_RELEASE_LTO: 'off', CARGO_PROFILE_RELEASE_DEBUG: 'false' };

/** The environment of a wasm build; each program that we hold is named, worker-build fetches the others itself. */
export function wasmEnv() {
  const builder = findTool('worker-build', WORKER_BUILD);
  const bindgen = findTool('wasm-bindgen', lockedVersion('wasm-bindgen'));
  const toolchain = wasmToolchain();
  if (!builder || !toolchain) return undefined;
  const env = nodeEnv({
    ...toolchain,
    ESBUILD_BIN: inRoot('node_modules', '.bin', 'esbuild'),
    WASM_OPT_BIN: inRoot('node_modules', '.bin', 'wasm-opt'),
    ...(bindgen && { WASM_BINDGEN_BIN: bindgen }),
  });
  return { ...env, PATH: [dirname(builder), env.PATH].join(delimiter) };
}

export async function ensureWasmTools() {
  try {
    await ensureBoth();
  } finally {
    rmSync(BUILD, { recursive: true, force: true });
  }
}

async function ensureBoth() {
  await ensureTool('worker-build', WORKER_BUILD, ['worker-build', '--locked']);
  const version = lockedVersion('wasm-bindgen');
  if (!version || findTool('wasm-bindgen', version)) return;
  if (await reaches('github.com')) {
    say(`  wasm-bindgen ${version}: worker-build fetches it by itself`);
    return;
  }
  // Not --locked: its own lock file names versions that have left some registries.
  await ensureTool('wasm-bindgen', version, ['wasm-bindgen-cli', '--bin', 'wasm-bindgen']);
}

/** A program in exactly this version: ours from the cache, or one on the PATH. */
function findTool(name, version) {
  if (!version) return undefined;
  const ours = join(toolDir(name, version), 'bin', name);
  if (existsSync(ours)) return ours;
  const path = process.env.CHANDELLE_OWN_TOOLS ? undefined : capture('sh', ['-c', `command -v ${name}`]);
  return path && capture(path, ['--version'])?.split(' ').pop() === version ? path : undefined;
}

async function ensureTool(name, version, [crate, ...flags]) {
  if (findTool(name, version)) return;
  mkdirSync(CACHE, { recursive: true });
  const toolchain = capture('rustup', ['--version']) ? { RUSTUP_TOOLCHAIN: pinnedRust() } : {};
  // The cache as working directory and a target folder of its own: this build must not see the project's settings.
  const env = { ...process.env, ...CARGO_BAR, ...LIGHT, ...toolchain, CARGO_TARGET_DIR: BUILD };
  await step(`${name} ${version}, compiled from source (once per machine)`, (update) =>
    quietly('cargo', ['install', crate, '--version', version, '--root', toolDir(name, version), ...flags], { cwd: CACHE, env, update }),
  );
}
