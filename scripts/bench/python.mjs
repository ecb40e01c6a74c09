// A Python with a reference implementation: the one that CHANDELLE_PYTHON names, or an environment of our own.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { root } from './report.mjs';

const NEEDS = { node: 'torch and diffusers (about 3 GB', text: 'llama.cpp (compiled here' };

function interpreter(kind) {
  if (process.env.CHANDELLE_PYTHON) return process.env.CHANDELLE_PYTHON;
  const folder = `${root}/.local/bench-python${kind === 'node' ? '' : `-${kind}`}`;
  const path = `${folder}/bin/python`;
  if (!existsSync(`${folder}/installed`)) {
    console.error(`installing ${NEEDS[kind]}, once) for the comparison…`);
    execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
    execFileSync(path, ['-m', 'pip', 'install', '--quiet', '-r', `${root}/scripts/bench/${kind}/requirements.txt`], { stdio: 'inherit' });
    execFileSync('touch', [`${folder}/installed`]);
  }
  return path;
}

/** What the program printed; `kind` is the comparison it belongs to. */
export const python = (args, kind = 'node') =>
  execFileSync(interpreter(kind), args, { encoding: 'utf8', env: { ...process.env, HF_HUB_OFFLINE: '1' }, stdio: ['ignore', 'pipe', 'inherit'] });
