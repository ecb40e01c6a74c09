// `npm run e2e [-- NAME…]`: the stories of tests/ (all, or those whose names contain NAME), on a stack of their own.

import { command, Problem } from './lib/progress.mjs';
import { ensureSetup } from './lib/setup.mjs';
import { foreground } from './lib/processes.mjs';
import { ROOT } from './lib/paths.mjs';
import { nodeEnv } from './lib/packages.mjs';

await command(async () => {
  await ensureSetup();
  const { withTestStack } = await import('./lib/test-stack.mjs');
  await withTestStack({}, async ({ file }) => {
    const env = nodeEnv({ CHANDELLE_STACK: file });
    const code = await foreground('cargo', ['test', '-p', 'e2e', '--', '--test-threads=1', ...process.argv.slice(2)], { cwd: ROOT, env });
    if (code !== 0) throw new Problem('the stories failed');
  });
});
