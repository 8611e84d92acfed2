//! The pages of sign-in and account: a whole life of an account with JavaScript on a phone and without
//! it on a desktop, what they look like when it is tight, and axe over every page and state.
import { strict as assert } from 'node:assert';
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AUDITED, LOOKS, audit } from './axe.mjs';

export const accountWalks = {
  'an account from sign-up to its deletion on a phone, with a second factor': withScript,
  'an account from sign-up to its deletion without JavaScript': withoutScript,
  'the account pages fit a narrow display, and large text': tight,
  'axe: the pages of sign-in and account': axe,
};

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: 'light' };
const PASSWORD = 'correct horse battery';
const path = (person) => new URL(person.page.url()).pathname;
let count = 0;

/** A handle that nobody has yet on this server. */
const newHandle = () => `hana-${Date.now().toString(36)}-${count++}`;

/** The bytes of a text in base 32 (RFC 4648). */
function base32(text) {
  const bits = [...text]
    .map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0'))
    .join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
}

/** The code of an authenticator app (RFC 6238), `later` steps of 30 s from now. */
function totp(secret, later = 0) {
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + later));
  const hash = createHmac('sha1', base32(secret)).update(step).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fff_ffff) % 1_000_000).padStart(6, '0');
}

/** Presses the button that sends the form of the page. */
async function send(person, form = '.form-tile form') {
  await person.$(`${form} button:not([type=button])`).last().click();
}

async function waitFor(person, where) {
  await person.page.waitForURL((url) => url.pathname === where);
}

async function signUp(person, handle) {
  await person.page.goto('/signup');
  await person.$('#handle').fill(handle);
  await person.$('#password').fill(PASSWORD);
  await send(person);
  await waitFor(person, '/account');
}

async function signIn(person, handle, start = '/signin') {
  await person.page.goto(start);
  await person.$('#handle').fill(handle);
  await send(person);
  await waitFor(person, '/signin/password');
  await person.$('#password').fill(PASSWORD);
  await send(person);
}

async function signOut(person) {
  await person.$('form[action="/sign-out"] button').click();
  await waitFor(person, '/signin');
}

/** Adds a second factor and returns its secret and the recovery codes. */
async function enroll(person) {
  await person.$('form[action="/account/totp"] button').click();
  await waitFor(person, '/account/totp');
  const secret = await person.$('#secret').getAttribute('data-text');
  await person.$('#code').fill(totp(secret));
  await send(person, '.numbered form');
  await person.$('.codes li').first().waitFor();
  return { secret, codes: await person.page.$$eval('.codes code', (all) => all.map((one) => one.textContent)) };
}

async function withScript(fixture) {
  const a = await fixture.person('ko', { ...PHONE, permissions: ['clipboard-read', 'clipboard-write'] });
  const handle = newHandle();
  // A guest who reads the landing page finds the way.
  await a.page.goto('/ko');
  await a.$('.site-header a[href="/account"]').click();
  await waitFor(a, '/signin');
  await a.$('a[href="/signup"]').click();
  await a.$('#handle').fill('Ha');
  await send(a);
  await a.$('.summary').waitFor();
  assert.equal(await a.page.evaluate(() => document.activeElement.className), 'summary', 'the summary has the focus');
  await a.$('.summary a[href="#password"]').click();
  assert.equal(await a.page.evaluate(() => document.activeElement.id), 'password');
  await a.$('#handle').fill(handle);
  await a.$('#password').fill(PASSWORD);
  await a.$('.show').click();
  assert.deepEqual(await a.page.$eval('#password', (field) => [field.type, field.value]), ['text', PASSWORD]);
  assert.equal(await a.$('.show .word').innerText(), '숨기기');
  await send(a);
  await waitFor(a, '/account');
  assert.match(await a.$('.page-note').innerText(), /계정을 만들었어요/);

  const { secret, codes } = await enroll(a);
  assert.equal(codes.length, 10);
  await a.$('[data-copy=codes]').click();
  await a.$('[data-copy=codes]', { hasText: '복사했어요' }).waitFor();
  assert.equal(await a.page.evaluate(() => navigator.clipboard.readText()), codes.join('\n'));
  const download = a.page.waitForEvent('download');
  await a.$('a[download]').click();
  const file = await (await download).path();
  assert.ok((await readFile(file, 'utf8')).includes(codes.join('\n')), 'the file has the codes');
  await a.$('.button-primary').click();
  await waitFor(a, '/account');
  await signOut(a);

  await signIn(a, handle, '/signin?next=/account/name');
  await waitFor(a, '/signin/totp');
  assert.equal(await a.$('.steps').getAttribute('aria-label'), '3단계 중 3단계');
  await a.$('#code').fill('000 000');
  await send(a);
  await a.$('#code-error').waitFor();
  assert.equal(path(a), '/signin/totp');
  await a.$('#code').fill(totp(secret, 1));
  await send(a);
  await waitFor(a, '/account/name');

  // A sign-in on another device asks first. Then this page is told.
  const b = await fixture.person('ko', { viewport: { width: 1280, height: 800 } });
  await signIn(b, handle);
  await waitFor(b, '/signin/totp');
  await b.$('a[href="/signin/recovery"]').click();
  await b.$('#code').fill(codes[0]);
  await send(b);
  await waitFor(b, '/signin/elsewhere');
  assert.match(await b.$('.facts').innerText(), /Chrome/);
  await send(b);
  await waitFor(b, '/account');
  await a.page.reload();
  await waitFor(a, '/signin');
  assert.match(await a.$('.page-note').innerText(), /다른 기기에서 로그인/);

  await b.$('#word').fill('삭제');
  await b.$('#current').fill(PASSWORD);
  await b.$('form[action="/account/delete"] .button-danger').click();
  await waitFor(b, '/signin');
  await signIn(b, handle);
  await b.$('a[href="/signin/recovery"]').click();
  await b.$('#code').fill(codes[1]);
  await send(b);
  await waitFor(b, '/account');
  assert.match(await b.$('.undo-bar').innerText(), /14일 뒤에 계정이 삭제돼요/);
  await b.$('.undo-bar button').click();
  await b.$('.undo-bar').waitFor({ state: 'detached' });
}

async function withoutScript(fixture) {
  const a = await fixture.person('ko', { javaScriptEnabled: false });
  const handle = newHandle();
  await signUp(a, handle);
  assert.ok(!(await a.$('.show').first().isVisible()), 'a button that does nothing is not shown');
  const { secret, codes } = await enroll(a);
  await a.$('.button-primary').click();
  await signOut(a);
  await signIn(a, handle);
  await waitFor(a, '/signin/totp');
  await a.$('#code').fill(totp(secret, 1));
  await send(a);
  await waitFor(a, '/account');
  await a.page.goto('/account/password');
  await a.$('#current').fill('wrong horse battery');
  await a.$('#password').fill('staple orbit lantern');
  await send(a);
  await a.$('#current-error').waitFor();
  assert.equal(await a.$('#password').inputValue(), '', 'a password is not shown again');
  await a.$('#current').fill(PASSWORD);
  await a.$('#password').fill('staple orbit lantern');
  await send(a);
  await waitFor(a, '/account');
  await a.$('button[lang=en]').click();
  await waitFor(a, '/account');
  assert.equal(await a.$('h1').innerText(), 'Account');
  await a.$('#word').fill('delete');
  await a.$('#current').fill('staple orbit lantern');
  await a.$('form[action="/account/delete"] .button-danger').click();
  await waitFor(a, '/signin');
  await a.$('#handle').fill(handle);
  await send(a);
  await a.$('#password').fill('staple orbit lantern');
  await send(a);
  await a.$('a[href="/signin/recovery"]').click();
  await a.$('#code').fill(codes[9]);
  await send(a);
  await waitFor(a, '/account');
  await a.$('.undo-bar button').click();
  await a.$('#word').waitFor();
}

/** The pages that the next two walks look at, with what leads to their state. `b` is another device. */
export async function eachState(a, b, visit) {
  const handle = newHandle();
  const open = async (address) => {
    await a.page.goto(address);
    await visit(address);
  };
  await open('/signin');
  await send(a);
  await a.$('.summary').waitFor();
  await visit('a missing handle');
  await open('/signup');
  await send(a);
  await a.$('.summary').waitFor();
  await visit('a refused sign-up');
  await open('/reset');
  await open('/verify-email/token');
  await open('/reset/used-up');
  await signUp(a, handle);
  await visit('a new account');
  for (const page of ['name', 'email', 'password', 'pin']) await open(`/account/${page}`);
  await send(a);
  await a.$('.summary').waitFor();
  await visit('a refused PIN');
  await a.page.goto('/account');
  await a.$('form[action="/account/totp"] button').click();
  await waitFor(a, '/account/totp');
  await visit('a second factor to add');
  const secret = await a.$('#secret').getAttribute('data-text');
  await a.$('#code').fill(totp(secret));
  await send(a, '.numbered form');
  await a.$('.codes li').first().waitFor();
  await visit('recovery codes');
  for (const page of ['recovery-codes', 'totp/remove']) await open(`/account/${page}`);
  await open('/account');
  await signIn(b, handle);
  await waitFor(b, '/signin/totp');
  const other = a;
  a = b;
  await visit('the code', a);
  await a.$('#code').fill('000000');
  await send(a);
  await a.$('.summary').waitFor();
  await visit('a wrong code', a);
  await a.page.goto('/signin/recovery');
  await visit('the recovery code', a);
  await a.page.goto('/signin/totp');
  await a.$('#code').fill(totp(secret, 1));
  await send(a);
  await waitFor(a, '/signin/elsewhere');
  await visit('a session elsewhere', a);
  await send(a);
  await waitFor(a, '/account');
  await visit('an account with an ended session', a);
  await other.page.reload();
  await waitFor(other, '/signin');
  await visit('an ended session', other);
  await a.$('#word').fill(await a.page.evaluate(() => (document.documentElement.lang === 'ko' ? '삭제' : 'delete')));
  await a.$('#current').fill('wrong horse battery');
  await a.$('form[action="/account/delete"] .button-danger').click();
  await a.$('.summary').waitFor();
  await visit('a refused deletion', a);
  await a.page.goto('/signin');
  await signOut(a);
  await visit('signed out', a);
  await a.$('#handle').fill(handle);
  await send(a);
  await waitFor(a, '/signin/password');
  await visit('the password', a);
  await a.$('#password').fill('wrong horse battery');
  await send(a);
  await a.$('.summary').waitFor();
  await visit('a wrong password', a);
  for (let tries = 0; tries < 8 && (await a.$('.wait').count()) === 0; tries++) {
    await a.$('#password').fill('wrong horse battery');
    await send(a);
    await a.$('.summary').waitFor();
  }
  await a.$('.wait').waitFor();
  await visit('a wait', a);
}

async function pair(fixture, locale, options) {
  return [await fixture.person(locale, options), await fixture.person(locale, options)];
}

async function tight(fixture) {
  const [a, b] = await pair(fixture, 'ko', { viewport: { width: 320, height: 640 } });
  const check = async (where, person = a) => {
    for (const scale of ['100%', '200%']) {
      const found = await person.page.evaluate((size) => {
        document.documentElement.style.fontSize = size;
        const root = document.documentElement;
        const small = [...document.querySelectorAll('.button, .input, .site-header :is(a, button)')]
          .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 43.9)
          .map((one) => one.outerHTML.slice(0, 80));
        const wide = [...document.querySelectorAll('body *')]
          .filter(
            (one) =>
              !one.closest('.visually-hidden, .skip-link') && one.getBoundingClientRect().right > root.clientWidth + 1,
          )
          .map((one) => one.outerHTML.slice(0, 80));
        const found = { over: root.scrollWidth - root.clientWidth, small, wide: wide.slice(0, 3) };
        document.documentElement.style.fontSize = '';
        return found;
      }, scale);
      assert.deepEqual(found, { over: 0, small: [], wide: [] }, `${where} at ${scale}`);
    }
  };
  await eachState(a, b, check);
}

async function axe(fixture) {
  for (const [locale, theme, width] of LOOKS) {
    const [a, b] = await pair(fixture, locale, { ...AUDITED, viewport: { width, height: 800 } });
    for (const { context } of [a, b])
      await context.addCookies([{ name: 'maju_theme', value: theme, url: fixture.server.url }]);
    await eachState(a, b, (where, person = a) => audit(person, `${where} in ${locale}, ${theme}, ${width} px`));
    await Promise.all([a.context.close(), b.context.close()]);
  }
}
