// Reads what golden tests print about their differences.

const LINE = /^(?:test (?<test>\S+) \.\.\. )?(?<what>.+): differs by (?<difference>[\d.]+e-?\d+|0)(?<fault>, as it should)?$/;

/** The largest difference of each component, and of each fault put in on purpose. */
export function readParity(output) {
  const [agreements, faults] = [new Map(), new Map()];
  let module = '';
  for (const line of output.split('\n')) {
    const test = line.match(/^test (\S+) \.\.\. /)?.[1];
    if (test) module = test.includes('::') ? test.split('::')[0] : '';
    const found = line.match(LINE)?.groups;
    if (!found) continue;
    const into = found.fault ? faults : agreements;
    const [key, difference] = [`${module}\n${found.what}`, Number(found.difference)];
    const known = into.get(key);
    if (!known || known.value < difference) into.set(key, { module, what: found.what, difference: found.difference, value: difference });
  }
  const plain = ({ module, what, difference }) => ({ module, what, difference });
  return { agreements: [...agreements.values()].map(plain), faults: [...faults.values()].map(plain) };
}
