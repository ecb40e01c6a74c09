// Reads what golden tests print about their differences, and makes tables of it.

const LINE =
  /^(?:test (?<test>\S+) \.\.\. )?(?<what>.+): differs by (?<difference>[\d.]+e-?\d+|0)(?: of (?<allowed>[\d.]+e-?\d+))?(?<fault>, as it should)?$/;

/** The largest difference of each component, with what is allowed where that is its own, and of each fault put in on purpose. */
export function readParity(output) {
  const [agreements, faults] = [new Map(), new Map()];
  let module = '';
  for (const line of output.split('\n')) {
    const test = line.match(/^test (\S+) \.\.\. /)?.[1];
    if (test) module = test.includes('::') ? test.split('::')[0] : '';
    const found = line.match(LINE)?.groups;
    if (!found) continue;
    const into = found.fault ? faults : agreements;
    const [key, value] = [`${module}\n${found.what}`, Number(found.difference)];
    const known = into.get(key);
    const { what, difference, allowed } = found;
    if (!known || known.value < value) into.set(key, { module, what, difference, ...(allowed && { allowed }), value });
  }
  const plain = ({ value: _, ...row }) => row;
  return { agreements: [...agreements.values()].map(plain), faults: [...faults.values()].map(plain) };
}

/** One section: every component's difference, and the faults that were noticed. */
export function paritySection({ title, reference, tolerance }, { agreements, faults }) {
  const ownBounds = agreements.some(({ allowed }) => allowed);
  const bound = (allowed) => (ownBounds ? ` ${allowed ?? ''} |` : '');
  const rows = agreements.map(({ module, what, difference, allowed }) => `| ${module} | ${what} | ${difference} |${bound(allowed)}`);
  const noticed = faults.map(({ module, what, difference }) => `${module ? `${module}: ` : ''}${what} (${difference})`);
  return `## ${title}

Reference: ${reference}, on the same weights. Tolerance: ${tolerance}.

| module | component | differs by |${bound('allowed')}
| --- | --- | --- |${bound('---')}
${rows.join('\n')}

Put wrong on purpose, and noticed: ${noticed.join('; ')}.
`;
}
