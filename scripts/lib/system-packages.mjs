// What only the system's own packages bring: through apt, as root or with sudo, and only what is missing.

import { existsSync } from 'node:fs';
import { capture, quietly } from './processes.mjs';
import { Problem, step } from './progress.mjs';

/** `[program, args]` to run something as root, through sudo when that asks no password. */
export function asRoot(program, args) {
  return process.getuid?.() === 0 ? [program, args] : ['sudo', ['-n', program, ...args]];
}

const canBeRoot = () => process.getuid?.() === 0 || capture('sudo', ['-n', 'true']) !== undefined;
const isInstalled = (name) => capture('dpkg-query', ['-W', '-f', '${db:Status-Status}', name]) === 'installed';

/** Installs Debian packages; says exactly what to run where we may not. */
export async function aptInstall(names, what) {
  const missing = names.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  if (!existsSync('/usr/bin/apt-get') || !canBeRoot()) {
    throw new Problem(`${what} is missing and can't be installed from here. On Debian: sudo apt-get install ${missing.join(' ')}`);
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await step(`${what} (apt: ${missing.join(' ')})`, async (update) => {
    const install = () => quietly(...asRoot('apt-get', ['install', '-y', '--no-install-recommends', ...missing]), { env, update });
    try {
      // A fresh list costs a download; a list that is there is usually good enough.
      await install();
    } catch {
      await quietly(...asRoot('apt-get', ['update']), { env, update });
      await install();
    }
  });
}

/** A Chromium that Playwright can drive: the system's, else Playwright's own download, else Debian's. */
export function findChromium() {
  if (process.env.CHROMIUM_BIN) return process.env.CHROMIUM_BIN;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    const path = capture('sh', ['-c', `command -v ${name}`]);
    if (path) return path;
  }
  const mac = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome';
  return existsSync(mac) ? mac : undefined;
}

export async function ensureChromium() {
  if (findChromium()) return;
  await aptInstall(['chromium'], 'Chromium for the browser tests');
}

/** PostgreSQL's server programs (Debian keeps them out of the PATH). */
export async function ensurePostgres() {
  if (capture('sh', ['-c', 'ls /usr/lib/postgresql/*/bin/initdb || command -v initdb'])) return;
  await aptInstall(['postgresql'], 'PostgreSQL for the database tests');
}

/** A Python that can make virtual environments. */
export async function ensurePython() {
  if (capture('python3', ['-c', 'import ensurepip, venv']) !== undefined) return;
  await aptInstall(['python3', 'python3-venv'], "Python for OpenAI's client");
}
