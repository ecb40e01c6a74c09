// What a CUDA build needs on a machine without CUDA: nvcc and its headers from Python wheels, and stubs to link against.

import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { CACHE } from './paths.mjs';
import { capture, quietly } from './processes.mjs';
import { Problem, step } from './progress.mjs';

/** candle ships its kernels as PTX: drivers of the 580 series refuse what a compiler newer than 13.0 writes. */
const WHEELS = [
  'nvidia-cuda-nvcc==13.0.88',
  'nvidia-nvvm==13.0.88',
  'nvidia-cuda-crt==13.0.88',
  'nvidia-cuda-runtime==13.0.96',
  'nvidia-cuda-cccl==13.0.85',
];
const CUDARC_VERSION = '13000';
const FOLDER = join(CACHE, 'tools', 'cuda-13.0');
const TOOLKIT = join(FOLDER, 'wheels', 'nvidia', 'cu13');
const STUBS = join(FOLDER, 'stubs');

/** Libraries that the binary opens when it runs; the linker is content with empty ones. */
const OPENED_AT_RUN_TIME = ['cuda', 'nvrtc', 'curand', 'cublas', 'cublasLt', 'cudnn', 'nccl'];

export const CUDA_TARGET = 'x86_64-unknown-linux-gnu';

/** What cargo is told. With --target the flags reach the program's own crates only, not build scripts; libraries are opened when
 * the program runs, so it also starts where there are none. */
export const CUDA_FLAGS = [
  ...['--features', 'cuda', '--target', CUDA_TARGET, '--config'],
  `target.${CUDA_TARGET}.rustflags=["--cfg", "feature=\\"dynamic-loading\\""]`,
];

/** The environment of a CUDA build for cards of this compute capability; an installed toolkit comes before our own. */
export async function cudaEnv(capability) {
  const installed = capture('sh', ['-c', 'command -v nvcc']);
  if (!installed) await ensureToolkit();
  const toolkit = installed ? join(installed, '..', '..') : TOOLKIT;
  linkStubs(toolkit);
  return {
    ...process.env,
    CUDA_HOME: toolkit,
    CUDA_PATH: toolkit,
    // cudarc adds lib64 of this folder to the linker's path.
    CUDA_ROOT: STUBS,
    PATH: [join(toolkit, 'bin'), process.env.PATH].join(delimiter),
    CUDA_COMPUTE_CAP: capability,
    CUDARC_CUDA_VERSION: CUDARC_VERSION,
    CUDAFORGE_HOME: join(CACHE, 'tools', 'cudaforge'),
  };
}

async function ensureToolkit() {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Problem('Without an installed CUDA toolkit this build needs Linux on x86-64.');
  if (existsSync(join(TOOLKIT, 'bin', 'nvcc'))) return;
  if (!capture('python3', ['-m', 'pip', '--version'])) throw new Problem('The CUDA compiler comes from Python wheels: install python3 with pip, or a CUDA 13.0 toolkit.');
  rmSync(FOLDER, { recursive: true, force: true });
  const target = join(FOLDER, 'wheels');
  try {
    await step('CUDA 13.0 compiler and headers (about 105 MB)', (update) =>
      quietly('python3', ['-m', 'pip', 'install', '--no-deps', '--only-binary=:all:', '--target', target, ...WHEELS], { update }),
    );
  } catch (error) {
    rmSync(FOLDER, { recursive: true, force: true });
    throw error;
  }
}

function linkStubs(toolkit) {
  const folder = join(STUBS, 'lib64');
  mkdirSync(folder, { recursive: true });
  for (const name of OPENED_AT_RUN_TIME) writeFileSync(join(folder, `lib${name}.a`), '!<arch>\n');
  const runtime = ['lib', 'lib64'].map((lib) => join(toolkit, lib, 'libcudart_static.a')).find(existsSync);
  if (!runtime) throw new Problem(`${toolkit} has no libcudart_static.a: it is not a whole CUDA toolkit.`);
  const link = join(folder, 'libcudart.a');
  rmSync(link, { force: true });
  symlinkSync(runtime, link);
}
