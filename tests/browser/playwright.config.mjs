// Runs the page's tests in Chromium against the stack that CHANDELLE_STACK points to.

import { existsSync, readFileSync } from 'node:fs';
import { defineConfig } from '@playwright/test';

const stackFile = process.env.CHANDELLE_STACK;
if (!stackFile) throw new Error('CHANDELLE_STACK is not set: run these tests with `npm test`');
const { edge_url: baseURL } = JSON.parse(readFileSync(stackFile, 'utf8'));

// The system's Chromium where Playwright's own can't be downloaded.
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

export default defineConfig({
  testDir: '.',
  outputDir: '../../.local/browser',
  timeout: 120_000,
  expect: { timeout: 20_000 },
  workers: 1,
  reporter: 'list',
  use: {
    baseURL,
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    },
  },
});
