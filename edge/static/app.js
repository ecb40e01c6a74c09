// The page: sign in, describe a scene, watch it being made, look at one's scenes.

import { ApiError, call, follow, session, signIn, signUp } from '/api.js';
import { TEXTS } from '/texts.js';

const FIELDS = ['class', 'pose', 'decor', 'world', 'era'];
const $ = (id) => document.getElementById(id);
let language = localStorage.getItem('chandelle.language') ?? (navigator.language.startsWith('fr') ? 'fr' : 'en');
let texts = TEXTS[language];
let nextCursor;
let runningJob;

function speak(name) {
  language = TEXTS[name] ? name : 'en';
  texts = TEXTS[language];
  localStorage.setItem('chandelle.language', language);
  document.documentElement.lang = language;
  $('language').value = language;
  for (const element of document.querySelectorAll('[data-text]')) element.textContent = texts[element.dataset.text];
  for (const name of FIELDS) {
    const [label, hint] = texts.fields[name];
    $(`label-${name}`).textContent = label;
    $(`hint-${name}`).textContent = hint;
  }
}

function buildFields() {
  for (const name of FIELDS) {
    const field = document.createElement('p');
    field.className = 'field';
    field.innerHTML = `<label id="label-${name}" for="${name}"></label>
      <input id="${name}" name="${name}" maxlength="120" autocomplete="off" aria-describedby="hint-${name} error-${name}">
      <small id="hint-${name}"></small><span class="error" id="error-${name}"></span>`;
    $('fields').append(field);
  }
}

function alertUser(text = '') {
  $('alert').textContent = text;
}

function describe(error) {
  if (!(error instanceof ApiError)) return error instanceof TypeError ? texts.errors.network : texts.errors.other;
  return texts.errors[error.status] ?? texts.errors.other;
}

/** Runs an action, shows what went wrong, and signs out when the session is over. */
async function attempt(action, onError = (error) => alertUser(describe(error))) {
  alertUser();
  try {
    return await action();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      session.clear();
      show();
      alertUser(texts.errors.session);
    } else {
      onError(error);
    }
  }
}

function show() {
  const now = session.get();
  $('account').hidden = Boolean(now);
  for (const id of ['session', 'studio', 'gallery']) $(id).hidden = !now;
  $('who').textContent = now?.email ?? '';
  if (!now) return;
  attempt(showCredits);
  attempt(() => showScenes(true));
}

async function showCredits() {
  const { balance, reserved } = await (await call('/api/credits')).json();
  $('credits').textContent = texts.credits(balance - reserved);
}

async function showPicture(image, scene) {
  const picture = await call(`/api/scenes/${scene.id}/image`);
  image.src = URL.createObjectURL(await picture.blob());
  image.alt = titleOf(scene);
}

const titleOf = (scene) => FIELDS.map((name) => scene[name]).join(', ');

async function showScenes(fromStart) {
  const query = fromStart || !nextCursor ? '' : `&cursor=${encodeURIComponent(nextCursor)}`;
  const page = await (await call(`/api/scenes?limit=12${query}`)).json();
  nextCursor = page.next_cursor;
  const list = $('scenes');
  if (fromStart) list.replaceChildren();
  for (const scene of page.items) list.append(sceneItem(scene));
  $('gallery-empty').hidden = list.children.length > 0;
  $('more').hidden = !nextCursor;
}

function sceneItem(scene) {
  const item = document.createElement('li');
  const image = document.createElement('img');
  const caption = document.createElement('div');
  const remove = document.createElement('button');
  caption.textContent = titleOf(scene);
  remove.type = 'button';
  remove.className = 'second';
  remove.textContent = texts.remove;
  remove.setAttribute('aria-label', texts.removeScene(titleOf(scene)));
  remove.addEventListener('click', () =>
    attempt(async () => {
      await call(`/api/scenes/${scene.id}`, { method: 'DELETE' });
      await showScenes(true);
      $('gallery-title').focus();
    }),
  );
  item.append(image, caption, remove);
  attempt(() => showPicture(image, scene));
  return item;
}

function showFieldErrors(errors) {
  for (const name of FIELDS) {
    const error = errors.find((candidate) => candidate.pointer === `/${name}`);
    $(`error-${name}`).textContent = error ? (texts.errors[error.code] ?? error.detail) : '';
    $(name).setAttribute('aria-invalid', String(Boolean(error)));
  }
  const first = FIELDS.find((name) => $(name).getAttribute('aria-invalid') === 'true');
  if (first) $(first).focus();
}

function showEvent(job) {
  $('progress').value = job.progress;
  $('status').textContent = `${texts.statuses[job.status]} — ${job.progress} %`;
}

async function makeScene(scene) {
  const accepted = await call('/api/generate/scene', {
    method: 'POST',
    body: scene,
    headers: { 'idempotency-key': crypto.randomUUID() },
  });
  const job = await accepted.json();
  runningJob = job.id;
  $('run').hidden = false;
  $('result').hidden = true;
  $('cancel').hidden = false;
  showEvent(job);
  const end = await follow(job.id, showEvent);
  $('cancel').hidden = true;
  if (end.status === 'failed') alertUser(end.error?.detail ?? texts.statuses.failed);
  if (end.status === 'completed') {
    await showPicture($('picture'), { ...scene, id: job.id });
    $('caption').textContent = titleOf(scene);
    $('result').hidden = false;
    await showScenes(true);
  }
  await showCredits();
}

$('language').addEventListener('change', (event) => {
  speak(event.target.value);
  show();
});

$('account-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const isNew = event.submitter?.value === 'sign-up';
  alertUser();
  try {
    await (isNew ? signUp : signIn)($('email').value, $('password').value);
    $('password').value = '';
    show();
    $('class').focus();
  } catch (error) {
    alertUser(error instanceof ApiError ? texts.errors[isNew ? 'signUp' : 'signIn'] : texts.errors.network);
  }
});

$('scene-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const scene = Object.fromEntries(FIELDS.map((name) => [name, $(name).value]));
  $('generate').disabled = true;
  showFieldErrors([]);
  await attempt(
    () => makeScene(scene),
    (error) => (error.status === 422 ? showFieldErrors(error.errors) : alertUser(describe(error))),
  );
  $('generate').disabled = false;
});

$('cancel').addEventListener('click', () => attempt(() => call(`/api/jobs/${runningJob}/cancel`, { method: 'POST' })));
$('more').addEventListener('click', () => attempt(() => showScenes(false)));
$('sign-out').addEventListener('click', () => {
  session.clear();
  show();
  $('email').focus();
});

buildFields();
$('gallery-title').tabIndex = -1;
speak(language);
show();
