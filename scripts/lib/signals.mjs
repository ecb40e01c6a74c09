// Ctrl-C and SIGTERM: nothing that we started outlives us unless it was meant to.

import { say } from './progress.mjs';
import { handleOf, readStack } from './stack.mjs';

/** Ends the stack in `dir` when this process is told to end. Call the result to let the stack live on. */
export function stopOnSignal(dir) {
  let stopping = false;
  const stop = async (signal) => {
    if (stopping) return;
    stopping = true;
    say(`\n${signal}: ending all parts…`);
    if (readStack(dir)) await handleOf(dir).stop();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
  return () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(signal, stop);
  };
}
