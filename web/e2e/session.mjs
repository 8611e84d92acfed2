//! The session of an account on the chat's page: signed in elsewhere, signed out in another tab, near
//! its end. What was not sent comes back to the same account only.
import { strict as assert } from 'node:assert';
import { auditInEveryLook, AUDITED } from './axe.mjs';
import { eventually } from './person.mjs';

export const sessionWalks = {
  'the header leads to the sign-in, and shows who is signed in': header,
  'a sign-in elsewhere ends the page, which says so and keeps its text': elsewhere,
  'signing out in one tab ends the other, and nobody else sees what was written': signedOut,
  'two minutes before the end a dialog counts, and the tabs agree': expiring,
};

const PHONE = { viewport: { width: 390, height: 844 }, colorScheme: 'light', ...AUDITED };
const PASSWORD = 'otter-lamp-jazz-1961';
const TEXT = '1961년 라이브 음반은';

let made = 0;
const newHandle = () => `walk-${process.pid}-${++made}`;

/** Sends a request as the page would, and returns its status and its answer. */
function post(person, path, body, page = person.page) {
  return page.evaluate(
    async ([path, body]) => {
      const headers = { 'Content-Type': 'application/json' };
      const answer = await fetch(`/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
      return [answer.status, await answer.json().catch(() => null)];
    },
    [path, body],
  );
}

async function signUp(person, handle) {
  await person.page.goto('/chat');
  await person.$('.site-header a[href^="/signin"]').waitFor();
  const [status, answer] = await post(person, '/sign-up', { handle, password: PASSWORD });
  assert.equal(status, 201, JSON.stringify(answer));
}

async function signIn(person, handle, page = person.page) {
  const [status, answer] = await post(person, '/sign-in', { handle, password: PASSWORD, leave: true }, page);
  assert.equal(status, 200, JSON.stringify(answer));
  assert.equal(answer.done, true);
}

/** Returns a person with an account in a talk, with an unfinished message, and their partner. */
async function talkOf(fixture, interest, handle) {
  const [a, b] = await Promise.all([fixture.person('ko', PHONE), fixture.person('en')]);
  await signUp(a, handle);
  await Promise.all([a.openLobby(interest), b.openLobby(interest)]);
  await Promise.all([a.acceptRulesAndStart(), b.acceptRulesAndStart()]);
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  await b.send('hello');
  await a.waitForText('hello');
  await a.field.fill(TEXT);
  return [a, b];
}

/** Nothing that opens an account is in the storage of a page, and nothing else that has no place there. */
async function assertStorage(person, secrets, page = person.page) {
  const stored = await page.evaluate(async () => ({
    items: Object.entries({ ...localStorage, ...sessionStorage }),
    databases: (await indexedDB.databases()).length,
    cookie: document.cookie,
  }));
  const cookies = (await person.context.cookies()).filter(({ httpOnly }) => httpOnly);
  assert.ok(cookies.length > 0, 'the session has a cookie that no script reads');
  const text = JSON.stringify(stored);
  for (const secret of [...secrets, PASSWORD, ...cookies.map(({ value }) => value)])
    assert.ok(!text.includes(secret), `${secret} is stored: ${text}`);
  for (const [key] of stored.items) assert.match(key, /^maju\.(draft|outbox|talks|choices|alerts|notify|sound)/);
  assert.equal(stored.databases, 0);
}

const dialog = (person, page = person.page) => page.locator('dialog[open]');
const title = (page) => page.locator('dialog[open] h2').innerText();

/** Tab stays inside the dialog, and nothing behind it can be pressed. */
async function assertModal(page) {
  for (let presses = 0; presses < 8; presses++) {
    await page.keyboard.press('Tab');
    const outside = await page.evaluate(() => {
      const focused = document.activeElement;
      return focused !== document.body && !document.querySelector('dialog[open]').contains(focused);
    });
    assert.equal(outside, false, 'Tab stays in the dialog');
  }
}

async function header(fixture) {
  const a = await fixture.person('ko', PHONE);
  const handle = newHandle();
  await a.openLobby();
  const link = a.$('.site-header a', { hasText: '로그인' });
  assert.equal(await link.getAttribute('href'), '/signin?next=%2Fchat');
  await signUp(a, handle);
  await a.page.reload();
  await a.$('.site-header .handle').click();
  assert.equal(await a.$('.account-menu a').getAttribute('href'), '/account');
  await auditInEveryLook(a, 'the menu of the account');
  await a.$('.account-menu button').click();
  await a.$('.site-header a[href^="/signin"]').waitFor();
  assert.equal(await a.$('.handle').count(), 0);
  // The longest handle at 320 px.
  const long = `long-${process.pid}-`.padEnd(32, 'x');
  await signUp(a, long);
  await a.page.setViewportSize({ width: 320, height: 640 });
  await a.page.reload();
  await a.$('.handle').waitFor();
  assert.equal(await a.page.evaluate(() => document.documentElement.scrollWidth), 320);
}

async function elsewhere(fixture, interest) {
  const handle = newHandle();
  const [a] = await talkOf(fixture, interest, handle);
  const at = new URL(a.page.url()).pathname;
  const sockets = [];
  a.page.on('websocket', (socket) => sockets.push(socket.url()));
  const c = await fixture.person('en');
  await c.page.goto('/chat');
  await c.$('.site-header a[href^="/signin"]').waitFor();
  await signIn(c, handle);
  const began = Date.now();
  await dialog(a).waitFor({ timeout: 5_000 });
  assert.ok(Date.now() - began < 3_000, 'at once');
  assert.equal(await title(a.page), '다른 기기에서 로그인했어요');
  assert.match(await dialog(a).innerText(), new RegExp(`${handle}[^]*Chrome[^]*오늘[^]*${TEXT}`));
  await a.page.keyboard.press('Escape');
  await a.page.keyboard.press('Escape');
  await assertModal(a.page);
  assert.equal(await a.field.inputValue(), TEXT, 'the page stays readable behind');
  assert.equal(
    await dialog(a).locator('.button-primary').getAttribute('href'),
    `/signin?next=${encodeURIComponent(at)}`,
  );
  await assertStorage(a, [handle]);
  // No attempt to connect follows, neither by time nor when the network comes back.
  await a.context.setOffline(true);
  await a.context.setOffline(false);
  await new Promise((go) => setTimeout(go, 2_000));
  assert.equal(sockets.length, 0);
  await auditInEveryLook(a, 'signed in elsewhere');
  // Continuing here ends the other, and the text is back.
  await dialog(a).locator('.button-primary').click();
  await a.page.locator('form input[name=handle]:visible').fill(handle);
  await a.page.locator('form .button-primary').first().click();
  await a.page.locator('form input[name=password]').fill(PASSWORD);
  await a.page.locator('form .button-primary').first().click();
  await a.page.waitForURL(/elsewhere|\/chat/);
  if (a.page.url().includes('elsewhere')) await a.page.locator('form .button-primary').first().click();
  await a.page.waitForURL(`**${at}`);
  await a.page.reload();
  const text = () =>
    a.page.evaluate(() => {
      const kept = document.querySelector('.kept-draft p')?.textContent;
      return kept ?? document.querySelector('.composer textarea')?.value ?? null;
    });
  await eventually('the text is back', text, (found) => found === TEXT);
  await c.page.goto('/chat');
  await c.$('.site-header a[href^="/signin"]').waitFor();
}

async function signedOut(fixture, interest) {
  const handle = newHandle();
  const [a] = await talkOf(fixture, interest, handle);
  const at = new URL(a.page.url()).pathname;
  const other = await a.context.newPage();
  await other.goto('/chat');
  await other.locator('.talk textarea').waitFor(); // the open talk is shown here, too
  await other.locator('.talk-header .icon-button').click();
  await other.locator('.menu:popover-open a[href="/account"]').waitFor();
  await new Promise((go) => setTimeout(go, 800)); // the button ignores presses for a moment
  await other.locator('.menu:popover-open button', { hasText: '로그아웃' }).click();
  await dialog(a).waitFor();
  assert.equal(await title(a.page), '로그아웃했어요');
  assert.match(await dialog(a).innerText(), new RegExp(TEXT));
  await assertModal(a.page);
  await assertStorage(a, [handle]);
  await auditInEveryLook(a, 'signed out in another tab');
  await other.close();
  await dialog(a).locator('button', { hasText: 'signed out' }).click();
  await a.$('.site-header a[href^="/signin"]').waitFor();

  const seen = () =>
    a.page.evaluate(
      () => document.documentElement.innerHTML + [...document.querySelectorAll('textarea')].map((one) => one.value),
    );
  const seesNothing = async (who) => {
    await a.page.goto(at);
    await a.$('.submit .button').waitFor(); // the talk is not theirs
    assert.ok(!(await seen()).includes(TEXT), `${who} sees nothing`);
    assert.equal(await a.$('.last-talks').count(), 0);
    await a.page.goBack();
    assert.ok(!(await seen()).includes(TEXT), `${who} sees nothing, also with Back`);
  };
  await seesNothing('a guest');
  await signUp(a, newHandle());
  await seesNothing('another account');
  await signIn(a, handle);
  await a.page.goto(at);
  await eventually('the owner sees it again', seen, (html) => html.includes(TEXT));
}

async function expiring(fixture, interest) {
  const handle = newHandle();
  const a = await fixture.person('ko', PHONE);
  await a.context.clock.install();
  await signUp(a, handle);
  await a.openLobby(interest);
  await a.$('.handle').waitFor();
  const other = await a.context.newPage();
  await other.goto('/chat');
  await other.locator('.handle').waitFor();
  const forward = async (ms) => {
    // In two steps, so that the socket does not take the jump for a silent connection.
    for (const half of [ms / 2, ms / 2]) {
      await a.context.clock.fastForward(half);
      await new Promise((go) => setTimeout(go, 300));
    }
  };
  await forward(28 * 60_000 + 500);
  await Promise.all([dialog(a).waitFor(), other.locator('dialog[open]').waitFor()]);
  assert.equal(await title(a.page), '곧 로그아웃돼요');
  assert.equal(await a.$('dialog .left').innerText(), '2분');
  assert.equal(await a.$('dialog [role=status]').textContent(), '2분 남았어요');
  await assertModal(a.page);
  await assertStorage(a, [handle]);
  await auditInEveryLook(a, 'near the end of the session');
  await a.page.keyboard.press('Escape'); // means to stay
  await Promise.all([
    dialog(a).waitFor({ state: 'detached' }),
    other.locator('dialog[open]').waitFor({ state: 'detached' }),
  ]);
  assert.equal(await a.$('.handle').count(), 1);
  // A hello tells the page the clock of the server again.
  await Promise.all([a.page.reload(), other.reload()]);
  await Promise.all([a.$('.handle').waitFor(), other.locator('.handle').waitFor()]);
  assert.equal(await dialog(a).count(), 0);
  await forward(29 * 60_000);
  await dialog(a).waitFor();
  await eventually(
    'seconds',
    () => a.$('dialog .left').innerText(),
    (left) => /^[1-5]\d seconds$/.test(left),
  );
  assert.match(await a.$('dialog [role=status]').textContent(), /^(15|30|45|60) seconds left$/);
  await other.locator('dialog[open] .button', { hasText: 'Sign out' }).click();
  await eventually(
    'this tab says so',
    () => title(a.page),
    (words) => words === 'You signed out',
  );
}
