// Shows /api/openapi.json as a page: a section per tag, an article per route, and the schemas at the end.

const main = document.getElementById('reference');

function add(parent, tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}

const nameOf = (reference) => reference.split('/').pop();

function addType(parent, schema = {}) {
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    add(parent, 'a', name, { href: `#schema-${name}` });
    return;
  }
  const alternatives = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (alternatives) {
    alternatives.forEach((one, index) => {
      if (index > 0) parent.append(schema.allOf ? ' and ' : ' or ');
      addType(parent, one);
    });
    return;
  }
  if (schema.enum) {
    parent.append(schema.enum.map((value) => JSON.stringify(value)).join(' | '));
    return;
  }
  const types = [schema.type ?? 'anything'].flat().join(' or ');
  parent.append(schema.format ? `${types} (${schema.format})` : types);
  if (schema.items) {
    parent.append(' of ');
    addType(parent, schema.items);
  }
}

function addTable(parent, caption, rows) {
  if (rows.length === 0) return;
  add(parent, 'h4', caption);
  const table = add(parent, 'table', '', { 'aria-label': caption });
  const body = add(table, 'tbody');
  for (const { name, schema, note } of rows) {
    const row = add(body, 'tr');
    add(add(row, 'th', '', { scope: 'row' }), 'code', name);
    addType(add(row, 'td'), schema);
    add(row, 'td', note ?? '');
  }
}

const contentOf = (holder) => Object.entries(holder?.content ?? {})[0] ?? [];

function addOperation(parent, path, method, operation, isPublic) {
  const article = add(parent, 'article', '', { id: operation.operationId });
  add(add(article, 'h3'), 'code', `${method.toUpperCase()} ${path}`);
  add(article, 'p', [operation.summary, operation.description].filter(Boolean).join(' '));
  add(article, 'p', isPublic ? 'Anyone may call it.' : 'Needs a bearer token.');
  addTable(article, 'Parameters', (operation.parameters ?? []).map((parameter) => ({
    name: parameter.name,
    schema: parameter.schema,
    note: [parameter.in, parameter.required ? 'required' : '', parameter.description].filter(Boolean).join(', '),
  })));
  const [bodyType, body] = contentOf(operation.requestBody);
  if (body) addTable(article, 'Body', [{ name: bodyType, schema: body.schema }]);
  addTable(article, 'Answers', Object.entries(operation.responses ?? {}).map(([status, answer]) => ({
    name: status,
    schema: contentOf(answer)[1]?.schema ?? { type: 'nothing' },
    note: answer.description,
  })));
}

function addSchema(parent, name, schema) {
  const article = add(parent, 'article', '', { id: `schema-${name}` });
  add(article, 'h3', name);
  if (schema.description) add(article, 'p', schema.description);
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) addType(add(article, 'p'), schema);
  addTable(article, 'Fields', fields.map(([field, type]) => ({
    name: field,
    schema: type,
    note: [(schema.required ?? []).includes(field) ? 'required' : '', type.description].filter(Boolean).join('; '),
  })));
}

async function show() {
  const api = await (await fetch('/api/openapi.json')).json();
  const sections = new Map();
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] ?? 'other';
      if (!sections.has(tag)) {
        const section = add(main, 'section');
        add(section, 'h2', tag);
        sections.set(tag, section);
      }
      addOperation(sections.get(tag), path, method, operation, operation.security?.length === 0);
    }
  }
  const section = add(main, 'section');
  add(section, 'h2', 'Types');
  for (const [name, schema] of Object.entries(api.components?.schemas ?? {})) addSchema(section, name, schema);
}

show()
  .catch((error) => add(main, 'p', `The document could not be read: ${error.message}`, { role: 'alert' }))
  .finally(() => main.setAttribute('aria-busy', 'false'));
