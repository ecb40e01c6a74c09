// What the commands say while they work: one line per step, and signs of life during long ones.

const tty = Boolean(process.stderr.isTTY) && !process.env.CI;
const SILENCE_MS = 15_000;

export const say = (text) => process.stderr.write(`${text}\n`);
export const seconds = (ms) => (ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`);

/** A problem the person can act on: shown without a stack. */
export class Problem extends Error {}

/** Runs `main` and turns a failure into a message and exit code 1. */
export async function command(main) {
  try {
    await main();
  } catch (error) {
    say(`\n✗ ${error instanceof Problem ? error.message : error.stack}`);
    process.exitCode = 1;
  }
}

/** `[######----] 60 %`, for anything that knows how far it is. */
export function bar(fraction, width = 28) {
  const part = Math.max(0, Math.min(1, fraction));
  const full = Math.round(part * width);
  return `[${'█'.repeat(full)}${'·'.repeat(width - full)}] ${String(Math.round(part * 100)).padStart(3)} %`;
}

/**
 * Runs `work` under a label, telling how long it has been at it. `work` gets `update(text, fraction?)`.
 * On a terminal the line is redrawn; elsewhere it is repeated now and then.
 */
export async function step(label, work) {
  const started = Date.now();
  let detail = '';
  let drawn = 0;
  const draw = () => {
    const line = `… ${label} ${seconds(Date.now() - started)}${detail && ` ${detail}`}`;
    if (tty) process.stderr.write(`\r\x1b[2K${line.slice(0, (process.stderr.columns || 100) - 1)}`);
    else if (Date.now() - drawn > SILENCE_MS) say(line);
    else return;
    drawn = Date.now();
  };
  const update = (text, fraction) => {
    detail = fraction === undefined ? text : `${bar(fraction)} ${text}`;
    if (tty) draw();
  };
  const clear = () => tty && process.stderr.write('\r\x1b[2K');
  if (!tty) {
    say(`… ${label}`);
    drawn = Date.now();
  }
  const timer = setInterval(draw, tty ? 200 : 1000);
  try {
    const result = await work(update);
    clear();
    say(`✓ ${label} (${seconds(Date.now() - started)})`);
    return result;
  } catch (error) {
    clear();
    say(`✗ ${label} (${seconds(Date.now() - started)})`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}
