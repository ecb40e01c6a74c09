// A stack for tests: on free ports, in a folder of its own, with a quick clock and stand-ins for third parties; gone afterwards.

import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { LOCAL } from './paths.mjs';
import { say } from './progress.mjs';
import { stopOnSignal } from './signals.mjs';
import { startStack } from './stack.mjs';

/** Messages die sooner and jobs are missed sooner than on a real deployment, so that stories can wait for both. */
const IMPATIENT = { deliveries: { generation: 4 }, vars: { QUEUED_GRACE_SECONDS: '30' } };

/** Runs `work` with a fresh stack. Its folder with all logs is kept when `work` fails. */
export async function withTestStack(options, work) {
  mkdirSync(LOCAL, { recursive: true });
  const dir = mkdtempSync(join(LOCAL, 'test-'));
  const release = stopOnSignal(dir);
  try {
    const handle = await startStack({ dir, freePorts: true, standIns: true, cronSeconds: 5, ...IMPATIENT, ...options });
    try {
      const result = await work(handle);
      await handle.remove();
      return result;
    } catch (error) {
      await handle.stop();
      throw error;
    }
  } catch (error) {
    say(`  the logs of all parts: ${join(dir, 'logs')}`);
    throw error;
  } finally {
    release();
  }
}
