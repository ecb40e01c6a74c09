// Who holds a data folder. Two servers on one PGlite folder would destroy it.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const pidFile = (dataDir) => path.join(dataDir, 'server.pid');

/** @returns {number | undefined} the process that serves the folder now */
export function holderOf(dataDir) {
  const file = pidFile(dataDir);
  const pid = existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
  return pid && isServer(pid) ? pid : undefined;
}

export function takeFolder(dataDir) {
  const holder = holderOf(dataDir);
  if (holder) throw new Error(`process ${holder} already serves ${dataDir}`);
  writeFileSync(pidFile(dataDir), String(process.pid));
}

export function leaveFolder(dataDir) {
  rmSync(pidFile(dataDir), { force: true });
}

/** The number alone is not enough: after a crash it may be another program's. */
function isServer(pid) {
  try {
    const command = execFileSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return command.includes('supabase/server.mjs');
  } catch {
    return false;
  }
}
