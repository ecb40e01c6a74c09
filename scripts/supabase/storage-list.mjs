// Listing a folder as hosted Storage does: names relative to it, and what lies deeper as one entry per sub-folder.
// lite 0.10 answers with the full names of everything that begins like the prefix.

const ALL = 100_000;

/** The question to put to lite instead: everything below the folder. */
export function widenListing(body) {
  return { prefix: folderOf(body), limit: ALL, sortBy: { column: 'name', order: 'asc' } };
}

/** @param {object[]} objects lite's answer @param {object} body the question that was asked */
export function foldListing(objects, body) {
  const folder = folderOf(body);
  const entries = new Map();
  for (const object of objects) {
    if (!object.name.startsWith(folder)) continue;
    const [name, ...deeper] = object.name.slice(folder.length).split('/');
    if (deeper.length === 0) entries.set(name, { ...object, name });
    else if (!entries.has(name)) entries.set(name, emptyFolder(name));
  }
  const { column = 'name', order = 'asc' } = body.sortBy ?? {};
  const direction = order === 'desc' ? -1 : 1;
  const compare = (a, b) => direction * String(a[column] ?? '').localeCompare(String(b[column] ?? ''));
  const found = [...entries.values()].filter(({ name }) => name.startsWith(body.search ?? '')).sort(compare);
  const offset = body.offset ?? 0;
  return found.slice(offset, offset + (body.limit ?? 100));
}

function folderOf({ prefix = '' }) {
  const trimmed = prefix.replace(/^\/+|\/+$/g, '');
  return trimmed && `${trimmed}/`;
}

const emptyFolder = (name) => ({
  name, id: null, updated_at: null, created_at: null, last_accessed_at: null, metadata: null,
});
