// A Rust that compiles to wasm32: rustup's own target where it can be had, otherwise Debian's toolchain with a
// standard library built here once. Nobody has to choose.

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { capture, CARGO_BAR, quietly } from './processes.mjs';
import { Problem, say, step } from './progress.mjs';
import { ROOT } from './paths.mjs';
import { aptInstall, asRoot } from './system-packages.mjs';

const TARGET = 'wasm32-unknown-unknown';
const LINKED = 'debian-wasm';
const DEBIAN = ['rustc-web', 'cargo-web', 'rust-web-src', 'rust-web-llvm', 'lld-22'];
const wanted = process.env.CHANDELLE_WASM_TOOLCHAIN;

/** The environment in which cargo compiles to wasm, or undefined when nothing here can. */
export function wasmToolchain() {
  if (wanted !== 'debian' && hasStd('rustc')) return {};
  if (!hasStd('/usr/bin/rustc')) return undefined;
  if (capture('rustup', ['toolchain', 'list'])?.includes(LINKED)) return { RUSTUP_TOOLCHAIN: LINKED };
  return capture('rustup', ['--version']) ? undefined : { RUSTC: '/usr/bin/rustc', CARGO: '/usr/bin/cargo' };
}

export async function ensureWasmToolchain() {
  if (wasmToolchain()) return;
  if (wanted !== 'debian' && (await addWithRustup())) return;
  say("  rustup's wasm target is out of reach: using Debian's toolchain instead");
  await installDebian();
  if (!wasmToolchain()) throw new Problem(`No Rust here compiles to ${TARGET}: run \`rustup target add ${TARGET}\` once it can be reached.`);
}

function hasStd(rustc) {
  if (rustc.startsWith('/') && !existsSync(rustc)) return false;
  const folder = capture(rustc, ['--print', 'target-libdir', '--target', TARGET], { cwd: ROOT });
  return Boolean(folder) && existsSync(folder) && readdirSync(folder).some((name) => /^libstd-.*\.rlib$/.test(name));
}

async function addWithRustup() {
  if (!capture('rustup', ['--version'])) return false;
  try {
    await step(`Rust's ${TARGET} target (rustup)`, (update) =>
      quietly('rustup', ['target', 'add', TARGET], { cwd: ROOT, update, timeoutMs: 240_000 }),
    );
    return hasStd('rustc');
  } catch {
    return false;
  }
}

async function installDebian() {
  // lld-22 is not pulled in by rust-web-llvm: without it Debian's rust-lld is a dangling link.
  await aptInstall(DEBIAN, "Debian's Rust for wasm");
  if (!hasStd('/usr/bin/rustc')) await step(`standard library for ${TARGET}, built once`, buildStd);
  if (capture('rustup', ['--version'])) await quietly('rustup', ['toolchain', 'link', LINKED, '/usr']);
}

/** rustc-web ships no wasm std; cargo builds it from rust-web-src as a dependency of an empty crate. */
async function buildStd(update) {
  const work = mkdtempSync(join(tmpdir(), 'chandelle-std-'));
  mkdirSync(join(work, 'src'));
  writeFileSync(join(work, 'src', 'lib.rs'), '');
  writeFileSync(join(work, 'Cargo.toml'), '[package]\nname = "mkstd"\nversion = "0.0.0"\nedition = "2021"\n');
  const { CARGO_TARGET_DIR: _target, RUSTFLAGS: _flags, RUSTUP_TOOLCHAIN: _toolchain, ...environment } = process.env;
  const env = { ...environment, ...CARGO_BAR, RUSTC_BOOTSTRAP: '1', RUSTC: '/usr/bin/rustc', __CARGO_DEFAULT_LIB_METADATA: 'stable' };
  const args = ['build', '--release', '--target', TARGET, '-Z', 'build-std=std,panic_abort'];
  await quietly('/usr/bin/cargo', args, { cwd: work, env, update });
  const built = join(work, 'target', TARGET, 'release', 'deps');
  const staged = join(work, 'lib');
  mkdirSync(staged);
  for (const name of readdirSync(built)) {
    if (/^lib.*\.rlib$/.test(name) && !name.startsWith('libmkstd-')) copyFileSync(join(built, name), join(staged, name));
  }
  const sysroot = capture('/usr/bin/rustc', ['--print', 'sysroot']);
  const folder = join(sysroot, 'lib', 'rustlib', TARGET, 'lib');
  await quietly(...asRoot('mkdir', ['-p', folder]));
  await quietly(...asRoot('cp', ['-r', `${staged}/.`, folder]));
  rmSync(work, { recursive: true });
}
