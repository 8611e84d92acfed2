//! Members of staff: accounts made from a shell, signed in with a password and a one-time code.
import { createHmac } from 'node:crypto';

const PASSWORD = 'correct horse battery';
let count = 0;

/** The bytes of a text in base 32 (RFC 4648). */
function base32(text) {
  const bits = [...text]
    .map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0'))
    .join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
}

/** The code of an authenticator app now (RFC 6238). */
function totp(secret) {
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac('sha1', base32(secret)).update(step).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fff_ffff) % 1_000_000).padStart(6, '0');
}

/** Opens a member of staff with a role, at the back-office. `options` are those of a browser context. */
export async function staff(fixture, role, locale = 'ko', options = {}) {
  const handle = `${role}-${Date.now().toString(36)}-${count++}`;
  fixture.server.addStaff(handle, role, PASSWORD);
  const person = await fixture.person(locale, options);
  const next = async () => {
    await person
      .$('.form-tile form button:not([type=button]), .numbered form button:not([type=button])')
      .last()
      .click();
  };
  await person.page.goto('/signin?next=/admin');
  await person.$('#handle').fill(handle);
  await next();
  await person.page.waitForURL((url) => url.pathname === '/signin/password');
  await person.$('#password').fill(PASSWORD);
  await next();
  await person.page.waitForURL((url) => url.pathname === '/signin/enroll');
  await person.$('#code').fill(totp(await person.$('#secret').getAttribute('data-text')));
  await next();
  // The recovery codes are shown once.
  await person.$('.codes li').first().waitFor();
  await person.page.goto('/admin');
  await person.$('.office').waitFor();
  return person;
}
