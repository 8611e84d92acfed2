//! The first administrator of a server, for walks of the back-office. It signs in once; other people of
//! the walk get its cookies.
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';

const PASSWORD = 'correct horse battery';
const HANDLE = 'desk-admin';

/** The bytes of a text in base 32 (RFC 4648). */
function base32(text) {
  const bits = [...text]
    .map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0'))
    .join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
}

/** The code of an authenticator app (RFC 6238). */
function totp(secret) {
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac('sha1', base32(secret)).update(step).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fff_ffff) % 1_000_000).padStart(6, '0');
}

async function send(page) {
  await page.locator('.form-tile form button:not([type=button])').last().click();
}

/** Makes the first administrator with the link of the log, and signs in with a new second factor. */
async function makeAdmin(fixture) {
  const log = await readFile(fixture.server.logFile, 'utf8');
  const token = /\/admin\/setup\?token=([\w-]+)/.exec(log)?.[1];
  if (!token) throw new Error('the log has no link to the first administrator');
  const { page, context } = await fixture.person('ko');
  await page.goto(`/admin/setup?token=${token}`);
  await page.locator('#handle').fill(HANDLE);
  await page.locator('#password').fill(PASSWORD);
  await send(page);
  await page.waitForURL((url) => url.pathname === '/signin');
  await page.locator('#handle').fill(HANDLE);
  await send(page);
  await page.waitForURL((url) => url.pathname === '/signin/password');
  await page.locator('#password').fill(PASSWORD);
  await send(page);
  await page.waitForURL((url) => url.pathname === '/signin/enroll');
  const secret = await page.locator('#secret').getAttribute('data-text');
  await page.locator('#code').fill(totp(secret));
  await page.locator('form[action="/signin/enroll"] button:not([type=button])').last().click();
  await page.locator('.codes li').first().waitFor();
  return context.cookies();
}

/** Opens the administrator in a browser of its own. `options` are those of a browser context. */
export async function admin(fixture, locale = 'ko', options = {}) {
  fixture.server.adminCookies ??= await makeAdmin(fixture);
  const person = await fixture.person(locale, options);
  const own = fixture.server.adminCookies.filter(({ name }) => !['maju_locale', 'maju_theme'].includes(name));
  await person.context.addCookies(own);
  return person;
}
