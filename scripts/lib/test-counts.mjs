// Runs a test program with its output shown, and reads from it how many tests passed and failed.

import { spawn } from 'node:child_process';

const COUNTS = [
  // cargo test, node --test, unittest (below), Playwright (last)
  [/^test result: \w+\. (\d+) passed; (\d+) failed/gm, (found) => [Number(found[1]), Number(found[2])]],
  [/^(?:#|ℹ) pass (\d+)$/gm, (found) => [Number(found[1]), 0]],
  [/^(?:#|ℹ) fail (\d+)$/gm, (found) => [0, Number(found[1])]],
  // unittest counts those that failed among all
  [/^Ran (\d+) tests? in /gm, (found) => [Number(found[1]), 0]],
  [/^FAILED \((?:failures=(\d+))?(?:, )?(?:errors=(\d+))?/gm, (found) => unittestFailures(found)],
  [/^ {2,}(\d+) passed\b/gm, (found) => [Number(found[1]), 0]],
  [/^ {2,}(\d+) failed\b/gm, (found) => [0, Number(found[1])]],
];

function unittestFailures([, failures = 0, errors = 0]) {
  const failed = Number(failures) + Number(errors);
  return [-failed, failed];
}

export function countTests(output) {
  const sums = { passed: 0, failed: 0 };
  for (const [pattern, read] of COUNTS) {
    for (const found of output.matchAll(pattern)) {
      const [passed, failed] = read(found);
      sums.passed += passed;
      sums.failed += failed;
    }
  }
  return sums;
}

/** Resolves with `{passed, failed, code}`. */
export function runCounted(program, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let output = '';
    for (const [stream, sink] of [[child.stdout, process.stdout], [child.stderr, process.stderr]]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        output += text;
        sink.write(text);
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ ...countTests(output), code: code ?? 128 }));
  });
}
