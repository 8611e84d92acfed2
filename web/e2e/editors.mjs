//! People who edit: made by the command line of the server, signed in with a second factor once. Other
//! browsers of the same person get the cookies.
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const BINARY = resolve(process.env.MAJU_BIN ?? fileURLToPath(new URL('../../target/debug/maju', import.meta.url)));
const PASSWORD = 'correct horse battery';

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

async function cookiesOf(fixture, handle) {
  const { folder } = fixture.server;
  const words = ['admin', 'add', handle, '--role', 'editor', '--password-stdin', '--data-dir', folder];
  execFileSync(BINARY, words, { input: `${PASSWORD}\n`, stdio: ['pipe', 'ignore', 'inherit'] });
  const { page, context } = await fixture.person('ko');
  const send = () => page.locator('.form-tile form button:not([type=button])').last().click();
  const at = (path) => page.waitForURL((url) => url.pathname === path);
  await page.goto('/signin');
  await page.locator('#handle').fill(handle);
  await send();
  await at('/signin/password');
  await page.locator('#password').fill(PASSWORD);
  await send();
  await at('/signin/enroll');
  const secret = await page.locator('#secret').getAttribute('data-text');
  await page.locator('#code').fill(totp(secret));
  await page.locator('form[action="/signin/enroll"] button:not([type=button])').last().click();
  await page.locator('.codes li').first().waitFor();
  return context.cookies();
}

/** Opens an editor in a browser of its own. `options` are those of a browser context. */
export async function editor(fixture, handle, locale = 'ko', options = {}) {
  const known = (fixture.server.editors ??= {});
  known[handle] ??= await cookiesOf(fixture, handle);
  const person = await fixture.person(locale, options);
  await person.context.addCookies(known[handle].filter(({ name }) => !['maju_locale', 'maju_theme'].includes(name)));
  return person;
}
