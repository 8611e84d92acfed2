//! Images in the back-office: an editor uploads one on a phone, with and without JavaScript, and takes
//! back what was done. axe over the pages and their states.
import { strict as assert } from 'node:assert';
import { AUDITED, LOOKS, audit } from './axe.mjs';
import { staff } from './staff.mjs';

export const imagesWalks = {
  'an editor uploads an image on a phone, describes, shares and deletes it': onAPhone,
  'an editor uploads an image without JavaScript': withoutScript,
  'axe: the pages of images': axe,
};

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: 'light' };
const path = (person) => new URL(person.page.url()).pathname;
const PAGE = /^\/admin\/images\/[0-9a-f-]{36}$/;

/** A picture that no other walk uploads: the page itself, with the time on it. */
async function picture(person) {
  await person.page.evaluate((text) => document.querySelector('h1')?.append(` ${text}`), String(Math.random()));
  return { name: 'photo.png', mimeType: 'image/png', buffer: await person.page.screenshot() };
}

async function fill(person, file) {
  await person.$('#alt_ko').fill('운영실 화면');
  await person.$('#alt_en').fill('The back-office');
  await person.$('#file').setInputFiles(file);
}

async function upload(person) {
  await person.page.goto('/admin/images');
  await fill(person, await picture(person));
  await person.$('.upload-form .button-primary').click();
  await person.page.waitForURL((url) => PAGE.test(url.pathname));
}

const isShown = (person, selector) =>
  person.page.waitForFunction((of) => (document.querySelector(of)?.naturalWidth ?? 0) > 0, selector);

async function fits(person) {
  const { wide, most } = await person.page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    most: document.documentElement.clientWidth,
  }));
  assert.ok(wide <= most, `${path(person)} is ${wide} px wide`);
}

async function onAPhone(fixture) {
  const editor = await staff(fixture, 'editor', 'ko', PHONE);
  await editor.$('.side-fold summary').click();
  await editor.$('.side-fold a[href="/admin/images"]').click();
  await editor.$('.upload-form').waitFor();
  await fits(editor);

  const large = { name: 'a.png', mimeType: 'image/png', buffer: Buffer.alloc(13 * 1024 * 1024) };
  await editor.$('#file').setInputFiles(large);
  await editor.$('[data-problem]', { hasText: '12 MB' }).waitFor();
  await fill(editor, { name: 'a.png', mimeType: 'image/png', buffer: Buffer.from('not an image') });
  await editor.$('.upload-form .button-primary').click();
  await editor.$('[data-problem]', { hasText: 'JPEG, PNG, WebP' }).waitFor();
  assert.equal(await editor.$('#alt_ko').inputValue(), '운영실 화면', 'the texts stay');

  const file = await picture(editor);
  await editor.$('#file').setInputFiles(file);
  await isShown(editor, '[data-preview]');
  await editor.$('.upload-form .button-primary').click();
  await editor.page.waitForURL((url) => PAGE.test(url.pathname));
  await editor.$('.page-note', { hasText: '이미지를 저장했어요.' }).waitFor();
  await isShown(editor, '.image-shown');
  await fits(editor);

  const own = path(editor);
  await editor.$('#alt_en').fill('Something else');
  await editor.$(`form[action="${own}/alt"] .button-primary`).click();
  await editor.$('.page-note .button').click();
  await editor.page.waitForFunction(() => document.querySelector('#alt_en')?.value === 'The back-office');

  await editor.$('form[action="/admin/images/social"] .button').last().click();
  await editor.$('.badge-good', { hasText: '공유 이미지' }).waitFor();
  assert.equal(await editor.$(`form[action="${own}/delete"]`).count(), 0, 'it is in use');
  await editor.$('.page-note .button').click();
  await editor.$(`form[action="${own}/delete"] .button`).waitFor();

  await editor.$(`form[action="${own}/delete"] .button`).click();
  await editor.page.waitForURL((url) => url.pathname === '/admin/images');
  await editor.$('.page-note .button').focus();
  await editor.page.keyboard.press('Enter');
  await editor.page.waitForURL((url) => url.pathname === own);
  await isShown(editor, '.image-shown');
}

async function withoutScript(fixture) {
  const signedIn = await staff(fixture, 'editor', 'ko', PHONE);
  const options = { ...PHONE, javaScriptEnabled: false, storageState: await signedIn.context.storageState() };
  const file = await picture(signedIn);
  const editor = await fixture.person('ko', options);
  await editor.page.goto('/admin/images');
  await fill(editor, { ...file, buffer: file.buffer.subarray(0, 2_000) });
  await editor.$('.upload-form .button-primary').click();
  await editor.$('.summary', { hasText: '손상' }).waitFor();
  assert.equal(await editor.$('#alt_en').inputValue(), 'The back-office');
  await editor.$('#file').setInputFiles(file);
  await editor.$('.upload-form .button-primary').click();
  await editor.page.waitForURL((url) => PAGE.test(url.pathname));
  await editor.$('.page-note', { hasText: '이미지를 저장했어요.' }).waitFor();
  await editor.page.goto('/admin/images?q=back-office');
  assert.ok((await editor.$('.image-card').count()) > 0);
}

async function axe(fixture) {
  const first = await staff(fixture, 'editor', 'ko', AUDITED);
  await upload(first);
  const own = path(first);
  const storageState = await first.context.storageState();
  const looks = [...LOOKS, ['ko', 'dark', 320], ['en', 'light', 320]];
  for (const [locale, theme, width] of looks) {
    const a = await fixture.person(locale, { ...AUDITED, viewport: { width, height: 800 }, storageState });
    const cookies = { maju_theme: theme, maju_locale: locale };
    await a.context.addCookies(
      Object.entries(cookies).map(([name, value]) => ({ name, value, url: fixture.server.url })),
    );
    for (const page of ['/admin/images', '/admin/images?q=nothing-has-this', '/admin/images?deleted=true', own]) {
      await a.page.goto(page);
      await a.$('h1').first().waitFor();
      await audit(a, `${page} in ${locale}, ${theme}, ${width} px`);
      await fits(a);
    }
    await a.page.goto('/admin/images');
    await fill(a, { name: 'a.png', mimeType: 'image/png', buffer: Buffer.from('no image') });
    await a.page.evaluate(() => document.querySelector('.upload-form').submit());
    await a.$('.summary').waitFor();
    await audit(a, `a refused upload in ${locale}, ${theme}, ${width} px`);
    await a.context.close();
  }
}
