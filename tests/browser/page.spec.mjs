// The page at `/`, used as a person would: by its labels and buttons, in both languages.

import { randomUUID } from 'node:crypto';
import { expect, test } from '@playwright/test';

const PASSWORD = 'correct horse battery';
const SCENE = { Subject: 'a red star', Pose: 'in the centre', Decor: 'mountains', World: 'forest', Era: 'medieval era' };

test.use({ locale: 'en-GB' });

async function signUp(page) {
  const email = `${randomUUID()}@example.org`;
  await page.goto('/');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create an account' }).click();
  await expect(page.getByRole('heading', { name: 'A new scene' })).toBeVisible();
  return email;
}

async function fillScene(page, scene = SCENE) {
  for (const [label, value] of Object.entries(scene)) await page.getByLabel(label, { exact: true }).fill(value);
}

test('a new user makes a scene, sees it and finds it again', async ({ page }) => {
  const problems = [];
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));

  const email = await signUp(page);
  await expect(page.getByText('100 credits left')).toBeVisible();
  await fillScene(page);
  await page.getByRole('button', { name: 'Make the picture' }).click();
  await expect(page.getByRole('progressbar', { name: 'Progress' })).toBeVisible();
  await expect(page.getByRole('status')).toContainText('Done — 100 %', { timeout: 60_000 });

  const picture = page.getByRole('figure').getByRole('img');
  await expect(picture).toBeVisible();
  expect(await picture.evaluate((image) => image.naturalWidth)).toBeGreaterThanOrEqual(64);
  await expect(page.getByText('99 credits left')).toBeVisible();
  await expect(page.getByRole('listitem')).toHaveCount(1);

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  const item = page.getByRole('listitem');
  await expect(item).toHaveCount(1);
  await expect(item.getByRole('img', { name: 'a red star' })).toBeVisible();

  await item.getByRole('button', { name: 'Delete the scene' }).click();
  await expect(page.getByText('None yet.')).toBeVisible();
  expect(problems).toEqual([]);
});

test('empty fields are named, each beside its label', async ({ page }) => {
  await signUp(page);
  await page.getByLabel('Subject', { exact: true }).fill('a red star');
  await page.getByRole('button', { name: 'Make the picture' }).click();
  await expect(page.getByText('Please fill this in.')).toHaveCount(4);
  await expect(page.getByLabel('Pose', { exact: true })).toBeFocused();
  await expect(page.getByLabel('Pose', { exact: true })).toHaveAttribute('aria-invalid', 'true');
});

test('a wrong password is told as such', async ({ page }) => {
  await page.goto('/');
  await page.getByLabel('E-mail').fill('nobody@example.org');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('alert')).toHaveText('The e-mail or the password is wrong.');
});

test('the page speaks French and remembers it', async ({ page }) => {
  await signUp(page);
  await page.getByLabel('Language').selectOption('Français');
  await expect(page.locator('html')).toHaveAttribute('lang', 'fr');
  await expect(page.getByRole('button', { name: 'Créer l’image' })).toBeVisible();
  await page.reload();
  await expect(page.getByLabel('Sujet', { exact: true })).toBeVisible();
});

test('everything can be reached with the keyboard, and every field has a name', async ({ page }) => {
  await signUp(page);
  const unnamed = await page.locator('input, select, button, progress').evaluateAll((elements) =>
    elements
      .filter((element) => element.checkVisibility())
      .filter((element) => !(element.labels?.length || element.textContent.trim() || element.getAttribute('aria-label')))
      .map((element) => element.outerHTML),
  );
  expect(unnamed).toEqual([]);
  await page.getByLabel('Subject', { exact: true }).focus();
  for (const label of ['Pose', 'Decor', 'World', 'Era']) {
    await page.keyboard.press('Tab');
    await expect(page.getByLabel(label, { exact: true })).toBeFocused();
  }
  await page.keyboard.press('Tab');
  await expect(page.getByRole('button', { name: 'Make the picture' })).toBeFocused();
});
