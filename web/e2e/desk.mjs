//! The back-office's dashboard, people, sessions, audit log, settings and health: a day of an
//! administrator on a phone, the same without JavaScript, and axe over every page and state.
import { strict as assert } from 'node:assert';
import { AUDITED, LOOKS, audit } from './axe.mjs';
import { admin } from './first-admin.mjs';

export const deskWalks = {
  'an administrator reads the dashboard, finds somebody, ends a session and checks the log': withScript,
  'the back-office works without JavaScript': withoutScript,
  'the back-office fits a narrow display': tight,
  'axe: the pages of the back-office': axe,
};

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: 'light' };
const PASSWORD = 'correct horse battery';
const PAGES = ['/admin', '/admin/people', '/admin/sessions', '/admin/health', '/admin/audit', '/admin/settings'];
let count = 0;

/** Signs up somebody new in their own browser. Returns the person and the handle. */
async function newMember(fixture) {
  const handle = `hana-${Date.now().toString(36)}-${count++}`;
  const person = await fixture.person('ko', PHONE);
  await person.page.goto('/signup');
  await person.page.locator('#handle').fill(handle);
  await person.page.locator('#password').fill(PASSWORD);
  await person.page.locator('.form-tile form button:not([type=button])').last().click();
  await person.page.waitForURL((url) => url.pathname === '/account');
  return { person, handle };
}

async function submitIn(page, path) {
  await page.locator('.confirm form button').click();
  await page.waitForURL((url) => url.pathname === path);
}

/** Waits until the dashboard has values: a node measures every ten seconds. */
async function waitForValues(page) {
  for (let tries = 0; ; tries++) {
    await page.goto('/admin?range=15m&refresh=10');
    if ((await page.locator('[data-panel=online] figure.chart').count()) > 0) return;
    if (tries > 30) throw new Error('the dashboard got no values');
    await page.waitForTimeout(1_000);
  }
}

async function withScript(fixture) {
  const { page } = await admin(fixture, 'ko', PHONE);
  const { person, handle } = await newMember(fixture);
  await waitForValues(page);
  assert.equal(await page.locator('h1').textContent(), '대시보드');
  // The script draws over the server's chart, and its values are read with the keyboard.
  const chart = page.locator('[data-panel=online] .chart-live');
  await chart.waitFor();
  await chart.focus();
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(() => /\d\d:\d\d · 지금/.test(document.querySelector('.chart-read').textContent));
  const before = await page.locator('[data-read-at]').textContent();
  await page.waitForFunction((text) => document.querySelector('[data-read-at]').textContent !== text, before, {
    timeout: 30_000,
  });
  // The table is behind its button and replaces the chart.
  await page.locator('[data-panel=online] .twin summary').click();
  assert.ok((await page.locator('[data-panel=online] .twin tbody tr').count()) > 0);
  assert.equal(await chart.isVisible(), false);

  await page.goto('/admin/people');
  await page.locator('#q').fill(handle);
  await page.locator('.filters button').click();
  await page.locator('.table tbody a').click();
  await page.waitForURL((url) => url.pathname.startsWith('/admin/people/'));
  assert.equal(await page.locator('h1').textContent(), handle);
  const own = new URL(page.url()).pathname;
  await page.locator('a[href$="/end-sessions"]').click();
  await submitIn(page, own);
  assert.match(await page.locator('.page-note').textContent(), /세션을 끝냈어요/);
  await person.page.goto('/account');
  await person.page.waitForURL((url) => url.pathname === '/signin');

  await page.locator('#role').selectOption('editor');
  await page.locator('form[action$="/role"] button').click();
  assert.match(await page.locator('.confirm').textContent(), /회원 → 편집자/);
  await submitIn(page, own);
  await page.locator('.page-note button').click();
  await page.waitForURL((url) => url.pathname === own);
  assert.match(await page.locator('.page-head').textContent(), /회원/);

  await page.goto('/admin/audit');
  const first = page.locator('.log li').first();
  assert.match(await first.textContent(), new RegExp(`${handle} 님의 역할을 바꿨어요: 편집자 → 회원`));
  await first.locator('summary').click();
  await first.locator('.facts').waitFor();
  await page.locator('form[action="/admin/audit/verify"] button').click();
  await page.getByText('모두 이어져요').waitFor();
}

async function withoutScript(fixture) {
  const { page } = await admin(fixture, 'en', { ...PHONE, javaScriptEnabled: false });
  await waitForValues(page);
  await page.locator('[data-panel=online] .twin summary').click();
  assert.ok((await page.locator('[data-panel=online] .twin tbody tr').count()) > 0);
  for (const path of PAGES) {
    const answer = await page.goto(path);
    assert.equal(answer.status(), 200, path);
    assert.equal(await page.locator('h1').count(), 1, path);
    assert.ok(await page.locator('.side-fold summary').isVisible(), path);
  }
  await page.goto('/admin/people?q=desk-admin');
  await page.locator('.table tbody a').click();
  await page.locator('a[href$="/reset"]').click();
  assert.ok(await page.locator('.confirm [name=second_factor]').isVisible());
}

/** Nothing is wider than the display, and every target is 44 px high. */
async function tight(fixture) {
  const { page } = await admin(fixture, 'ko', { viewport: { width: 320, height: 700 } });
  await waitForValues(page);
  for (const path of PAGES) {
    await page.goto(path);
    const { wide, small } = await page.evaluate(() => {
      const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      const targets = document.querySelectorAll('main button, main summary, main select, main input, main .row-link');
      const small = [...targets]
        .filter((one) => one.type !== 'hidden' && one.checkVisibility() && one.getBoundingClientRect().height < 43.5)
        .map((one) => one.outerHTML.slice(0, 80));
      return { wide, small };
    });
    assert.ok(wide <= 0, `${path} is ${wide} px too wide`);
    assert.deepEqual(small, [], path);
  }
}

async function axe(fixture) {
  for (const [locale, theme, width] of LOOKS) {
    const a = await admin(fixture, locale, { ...AUDITED, viewport: { width, height: 800 } });
    await a.context.addCookies([{ name: 'maju_theme', value: theme, url: fixture.server.url }]);
    await waitForValues(a.page);
    const where = (path) => `${path} in ${locale}, ${theme}, ${width} px`;
    await a.page.locator('.chart-live').first().waitFor();
    await audit(a, where('/admin'));
    for (const summary of await a.page.locator('.twin summary').all()) await summary.click();
    await audit(a, where('/admin with tables'));
    for (const path of [
      ...PAGES.slice(1),
      '/admin?range=90d',
      '/admin/people?q=nobody-at-all',
      '/admin/audit?from=soon',
    ]) {
      await a.page.goto(path);
      await a.$('h1').first().waitFor();
      for (const summary of await a.page.locator('.log summary').all()) await summary.click();
      await audit(a, where(path));
    }
    await a.page.goto('/admin/people?q=desk-admin');
    await a.page.locator('.table tbody a').click();
    await a.page.locator('a[href$="/reset"]').waitFor();
    await audit(a, where('a person'));
    const person = new URL(a.page.url()).pathname;
    for (const path of ['/end-sessions', '/role?role=member', '/reset']) {
      await a.page.goto(person + path);
      await audit(a, where(path));
    }
    await a.context.close();
  }
}
