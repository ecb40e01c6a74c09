// A Python with the reference implementation: the one that CHANDELLE_PYTHON names, or an environment of our own.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { root } from './report.mjs';

const folder = `${root}/.local/bench-python`;

function interpreter() {
  if (process.env.CHANDELLE_PYTHON) return process.env.CHANDELLE_PYTHON;
  const path = `${folder}/bin/python`;
  if (!existsSync(`${folder}/installed`)) {
    console.error('installing torch and diffusers for the comparison (about 3 GB, once)…');
    execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
    execFileSync(path, ['-m', 'pip', 'install', '--quiet', '-r', `${root}/scripts/bench/node/requirements.txt`], { stdio: 'inherit' });
    execFileSync('touch', [`${folder}/installed`]);
  }
  return path;
}

/** What the program printed. */
export const python = (args) =>
  execFileSync(interpreter(), args, { encoding: 'utf8', env: { ...process.env, HF_HUB_OFFLINE: '1' }, stdio: ['ignore', 'pipe', 'inherit'] });
