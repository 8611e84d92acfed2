//! What an editor publishes arrives on open pages: words, announcements, missing translations. The
//! editor is a script over the API, as WIRE.md has it.
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { audit, AUDITED } from './axe.mjs';
import { eventually } from './person.mjs';
import { BINARY } from './server.mjs';

export const arrivalWalks = {
  'what an editor publishes arrives on an open page, and nothing moves': arrival,
  'announcements are shown on every page, and can be hidden': announcements,
};

const PASSWORD = 'correct horse battery staple';
const PHONE = { ...AUDITED, viewport: { width: 390, height: 844 }, colorScheme: 'light' };

function totp(secret) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret].map((c) => alphabet.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac('sha1', key).update(step).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fff_ffff) % 1_000_000).padStart(6, '0');
}

/** Signs a new editor in, in a browser of its own. Returns a function that calls the API. */
async function editor(fixture, handle) {
  const add = ['admin', 'add', handle, '--role', 'editor', '--password-stdin', '--data-dir', fixture.server.folder];
  execFileSync(BINARY, add, { input: `${PASSWORD}\n` });
  const person = await fixture.person('ko');
  await person.page.goto('/ko');
  const ask = (method, path, body) =>
    person.page.evaluate(
      async ([method, path, body]) => {
        const headers = body ? { 'content-type': 'application/json' } : {};
        const answer = await fetch(`/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
        const text = await answer.text();
        if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
        return text ? JSON.parse(text) : null;
      },
      [method, path, body],
    );
  await ask('GET', '/me');
  const step = await ask('POST', '/sign-in', { handle, password: PASSWORD });
  assert.equal(step.next, 'enroll_totp');
  await ask('POST', '/sign-in/enroll_totp', { code: totp(step.secret) });
  return ask;
}

async function arrival(fixture) {
  const ask = await editor(fixture, 'arrival-jin');
  const reader = await fixture.person('ko', PHONE);
  await reader.page.goto('/ko');
  const faq = reader.$('#faq');
  await faq.scrollIntoViewIfNeeded();
  await faq.locator('summary').nth(2).click();
  await faq.locator('summary').nth(2).focus();
  const before = await faq.locator('summary').nth(2).boundingBox();

  // A new section above what is read, and other words in it.
  const { items } = await ask('GET', '/admin/sections?page=landing&locale=ko');
  const added = await ask('POST', '/admin/sections', {
    page: 'landing',
    kind: 'markdown',
    locale: 'ko',
    position: items[3].position,
    content: { title: '새 소식이에요', text: '**오늘** 열었어요.\n\n- 하나\n- 둘' },
  });
  await ask('POST', `/admin/sections/${added.id}/publish`, { version: 1 });
  const began = Date.now();
  await reader.$('h2', { hasText: '새 소식이에요' }).waitFor({ state: 'attached' });
  assert.ok(Date.now() - began < 5_000, 'it arrives soon');
  const after = await faq.locator('summary').nth(2).boundingBox();
  assert.ok(Math.abs(after.y - before.y) < 2, `what is read stays: ${before.y} and ${after.y}`);
  assert.equal(await faq.locator('details').nth(2).getAttribute('open'), '');
  assert.ok(
    await faq
      .locator('summary')
      .nth(2)
      .evaluate((one) => one === document.activeElement),
    'focus stays',
  );
  await audit(reader, 'after a publish');

  // Without a translation the English page has it in Korean, and says so.
  const english = await fixture.person('en', PHONE);
  await english.page.goto('/en');
  assert.equal(await english.$('section', { hasText: '새 소식이에요' }).getAttribute('lang'), 'ko');
  await audit(english, 'after a publish');

  await ask('POST', `/admin/sections/${added.id}/unpublish`, {});
  await reader.$('h2', { hasText: '새 소식이에요' }).waitFor({ state: 'detached' });
  await ask('DELETE', `/admin/sections/${added.id}`);
}

async function announcements(fixture) {
  const ask = await editor(fixture, 'arrival-sol');
  const reader = await fixture.person('ko', PHONE);
  await reader.page.goto('/ko');
  const text = '오늘 밤 11시부터 10분 동안 점검해요.';
  const saved = await ask('POST', '/admin/banners', {
    text: { ko: text, en: 'Ten minutes of maintenance tonight at 11 p.m.' },
    tone: 'warn',
    places: ['landing', 'lobby', 'chat'],
  });
  await reader.$('.banner', { hasText: text }).waitFor();
  await audit(reader, 'after a publish');
  await reader.page.screenshot({ path: `${fixture.results}/banner-ko-390.png` });
  const overflow = await reader.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, 'nothing scrolls sideways');
  await reader.$('.banner button').click();
  assert.equal(await reader.$('.banner', { hasText: text }).isVisible(), false);
  await reader.page.reload();
  assert.equal(await reader.$('.banner', { hasText: text }).isVisible(), false, 'it stays hidden');

  const other = await fixture.person('en', PHONE);
  await other.openLobby();
  await other.$('.banner', { hasText: 'Ten minutes' }).waitFor();
  await audit(other, 'after a publish');
  await other.$('.banner button').click();
  await eventually('it is hidden in the lobby', async () => (await other.$('.banner').count()) === 0);
  await ask('DELETE', `/admin/banners/${saved.id}`);
}
