// Starting programs: in the foreground with progress, in the background as a group that can be ended whole.

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { pause } from './ports.mjs';
import { Problem } from './progress.mjs';

const GRACE_MS = 8000;

/** Standard output of a quick command, or undefined when it is absent or fails. */
export function capture(program, args = [], options = {}) {
  const result = spawnSync(program, args, { encoding: 'utf8', timeout: 60_000, ...options });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/** Runs a program with the terminal's own output; resolves with its exit code. */
export function foreground(program, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', ...options });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ? 128 : code));
  });
}

/** Runs a program quietly, handing each line (and cargo's own bar) to `update`; shows its tail if it fails. */
export function quietly(program, args, { update = () => {}, timeoutMs, input = 'ignore', ...options } = {}) {
  return new Promise((resolve, reject) => {
    const env = { ...(options.env ?? process.env), RUST_BACKTRACE: '0' };
    const child = spawn(program, args, { stdio: [input, 'pipe', 'pipe'], timeout: timeoutMs, ...options, env });
    const tail = [];
    const read = (chunk) => {
      for (const line of String(chunk).split(/[\r\n]+/)) {
        const shown = line.replace(/\x1b\[[\d;?]*[A-Za-z]/g, '').trimEnd();
        const text = shown.trim();
        if (!text) continue;
        const cargo = text.match(/\[[=> ]*\] (\d+)\/(\d+)(?:: (.*))?/);
        if (cargo) {
          update((cargo[3] ?? '').slice(0, 40), Number(cargo[1]) / Number(cargo[2]));
          continue;
        }
        tail.push(shown);
        // The first words often hold the reason, the last ones the place.
        if (tail.length > 70) tail.splice(15, 1);
        if (!/^(Compiling|Downloaded|Fresh) /.test(text)) update(text.slice(0, 70));
      }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(tail);
      else reject(new Problem(`${program} ${args.join(' ')} failed (${code ?? 'stopped'}):\n${tail.join('\n')}`));
    });
  });
}

/** cargo draws its bar only on terminals unless told so; the bar is what `quietly` reads. */
export const CARGO_BAR = { CARGO_TERM_PROGRESS_WHEN: 'always', CARGO_TERM_PROGRESS_WIDTH: '80' };

/** Starts a program in its own group, detached, with its output in `logFile`. */
export function launch(program, args, { logFile, ...options }) {
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(program, args, { stdio: ['ignore', log, log], detached: true, ...options });
  closeSync(log);
  child.on('error', () => {});
  child.unref();
  if (!child.pid) throw new Problem(`${program} could not be started`);
  return { pid: child.pid, born: bornAt(child.pid), log: logFile };
}

/** When a process started, in the kernel's ticks: tells it from a later one with the same number. */
function bornAt(pid) {
  return stat(pid)?.born ?? null;
}

function stat(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
    return { state: fields[0], group: Number(fields[2]), born: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

/** True while any process of the group runs. A zombie that nobody reaps does not count. */
export function groupRuns({ pid, born }) {
  const leader = stat(pid);
  if (leader && born !== null && leader.born !== born) return false;
  try {
    process.kill(-pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  return readdirSync('/proc').some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    const other = stat(entry);
    return other?.group === pid && other.state !== 'Z';
  });
}

/** Ends a whole group: asks, waits, then insists. */
export async function stopGroup(part, { graceMs = GRACE_MS, signal = 'SIGTERM' } = {}) {
  if (!part || !groupRuns(part)) return;
  const send = (name) => {
    try {
      process.kill(-part.pid, name);
    } catch {
      // Already gone.
    }
  };
  send(signal);
  const deadline = Date.now() + graceMs;
  while (groupRuns(part)) {
    if (Date.now() > deadline) send('SIGKILL');
    await pause(50);
  }
}

export const logSize = (file) => (existsSync(file) ? statSync(file).size : 0);

/** What was logged after the first `bytes`: a log outlives the runs it tells of. */
export const logSince = (file, bytes) => (existsSync(file) ? readFileSync(file).subarray(bytes).toString() : '');

/** The last lines of a log, for a message about a part that did not come up. */
export function logTail(file, lines = 25) {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}
