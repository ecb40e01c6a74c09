// A throw-away PostgreSQL in a folder of its own, from whatever binaries the machine has.
// PostgreSQL refuses to run as root, so there it runs as the account `postgres`.

import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;

/** @returns {Promise<{url: string, lost: Promise<Error>, stop(): Promise<void>}>} */
export async function startPostgres(folder, password) {
  const binaries = findBinaries();
  const account = accountToRunAs();
  prepareFolder(folder, account);
  const data = path.join(folder, 'data');
  if (!existsSync(path.join(data, 'PG_VERSION'))) createCluster({ binaries, account, folder, data, password });
  await stopOrphan(data);

  const port = await freePort();
  const child = launch(
    path.join(binaries, 'postgres'),
    [
      '-D', data, '-p', String(port),
      '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=',
      '-c', 'max_connections=50', '-c', 'lc_messages=C', '-c', 'logging_collector=off',
    ],
    account,
  );
  const exited = new Promise((resolve) => child.once('exit', resolve));
  await untilReady(child, path.join(folder, 'log'));

  let stopping = false;
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    lost: new Promise((resolve) => {
      exited.then((code) => {
        if (!stopping) resolve(new Error(`PostgreSQL ended by itself (exit code ${code}); see ${path.join(folder, 'log')}`));
      });
    }),
    async stop() {
      stopping = true;
      child.kill('SIGINT'); // "fast": ends sessions, writes everything, no recovery at the next start
      const timer = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

function findBinaries() {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).map(Number).filter(Boolean).sort((a, b) => b - a) : [];
  const folders = [...versions.map((version) => `${debian}/${version}/bin`), bindirOfPgConfig()];
  const found = folders.find((folder) => folder && existsSync(path.join(folder, 'initdb')) && existsSync(path.join(folder, 'postgres')));
  if (!found) {
    throw new Error('the driver "postgres" needs PostgreSQL on this machine (Debian: apt install postgresql); none was found. The driver "pglite" needs nothing.');
  }
  return found;
}

function bindirOfPgConfig() {
  try {
    return execFileSync('pg_config', ['--bindir'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

/** @returns {{uid: number, gid: number} | undefined} undefined: as ourselves */
function accountToRunAs() {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  try {
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    throw new Error('PostgreSQL does not run as root, and there is no account "postgres" to run it as: start this as another user');
  }
}

function prepareFolder(folder, account) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (!account) return;
  chownSync(folder, account.uid, account.gid);
  // The account must be able to pass through the data folder, not to read it.
  chmodSync(path.dirname(folder), 0o711);
}

function createCluster({ binaries, account, folder, data, password }) {
  const unfinished = `${data}.new`;
  const passwordFile = path.join(folder, 'password');
  rmSync(unfinished, { recursive: true, force: true });
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (account) chownSync(passwordFile, account.uid, account.gid);
  try {
    execFileSync(
      path.join(binaries, 'initdb'),
      ['-D', unfinished, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8', `--locale=${process.platform === 'linux' ? 'C.UTF-8' : 'en_US.UTF-8'}`],
      { ...account, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' },
    );
  } catch (error) {
    throw new Error(`initdb failed: ${error.stderr?.trim() || error.message}`, { cause: error });
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(unfinished, data); // a kill during initdb must not leave half a cluster under the real name
}

/** With setpriv the database ends with us even when we are killed; without it, the next start ends the orphan. */
function launch(program, args, account) {
  const stdio = ['ignore', 'ignore', 'pipe'];
  const setpriv = '/usr/bin/setpriv';
  if (!existsSync(setpriv)) return spawn(program, args, { ...account, stdio });
  const identity = account ? [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups'] : [];
  return spawn(setpriv, [...identity, '--pdeathsig=INT', '--', program, ...args], { stdio });
}

/** Ends a PostgreSQL that outlived a killed server on the same folder. */
async function stopOrphan(data) {
  const orphan = ownerOf(data);
  if (!orphan) return;
  if (orphan.isAlive) process.kill(orphan.pid, 'SIGINT');
  const end = Date.now() + STOP_TIMEOUT_MS;
  while (ownerOf(data)?.isAlive) {
    if (Date.now() > end) throw new Error(`another PostgreSQL (process ${orphan.pid}) holds ${data} and does not end`);
    await sleep(50);
  }
  if (ownerOf(data)) disown(data);
}

/** @returns {{pid: number, isAlive: boolean} | undefined} the process that data/postmaster.pid names, if there is one */
function ownerOf(data) {
  try {
    const pid = Number(readFileSync(path.join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
    const [state, ...command] = execFileSync('ps', ['-p', String(pid), '-o', 'stat=,command='], {
      encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
    }).trim().split(/\s+/);
    return { pid, isAlive: !state.startsWith('Z') && command.join(' ').includes(data) };
  } catch {
    return undefined;
  }
}

/**
 * In a container whose first process doesn't reap, a killed PostgreSQL stays as a zombie, and its number, taken for a running
 * one, blocks every later start. The number of its parent is what PostgreSQL disregards there; its other checks stay.
 */
function disown(data) {
  const file = path.join(data, 'postmaster.pid');
  const [, ...rest] = readFileSync(file, 'utf8').split('\n');
  writeFileSync(file, [process.pid, ...rest].join('\n'));
}

function untilReady(child, logFile) {
  const log = openSync(logFile, 'a');
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`PostgreSQL was not ready in time; see ${logFile}`)), START_TIMEOUT_MS);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`PostgreSQL ended with exit code ${code} while starting; see ${logFile}`)));
    child.stderr.on('data', (chunk) => {
      writeSync(log, chunk);
      if (!chunk.includes('ready to accept connections')) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
