//! What is refused: by the browser, or by the server. The page says what and why where it was, and keeps what was written.
import { strict as assert } from 'node:assert';
import { inEveryLook, TESTED } from './axe.mjs';
import { eventually, meet } from './person.mjs';

export const refusalsWalks = {
  'a browser that blocks cookies is told so, and makes no visitor': cookiesBlocked,
  'cookies lost on the way make one visitor a try, and the page goes on once they are kept': cookiesLost,
  'cookies cleared while the page is open make one fresh visitor': cookiesCleared,
  'a browser that blocks every storage can talk all the same': storageBlocked,
};

const PHONE = { viewport: { width: 390, height: 844 } };

/** Counts the calls that may make a visitor. */
function visits(person) {
  const seen = { count: 0 };
  person.page.on('request', (asked) => {
    if (asked.method() === 'GET' && new URL(asked.url()).pathname === '/api/v1/me') seen.count++;
  });
  return seen;
}

async function cookiesBlocked(house) {
  const a = await house.blocked('ko', { ...PHONE, ...TESTED });
  const made = visits(a);
  await a.page.goto('/chat');
  await a.$('.cookies h1').waitFor();
  assert.equal(await a.$('h1').innerText(), '쿠키가 필요해요');
  assert.equal(await a.$('.net').count(), 0, 'nothing is said to be reconnecting');
  await a.$('.cookies .btn-p').click();
  await a.$('.cookies [role=status]', { hasText: '아직' }).waitFor();
  assert.match(await a.focused(), /^button/);
  assert.equal(made.count, 0);
  await inEveryLook(a, 'a browser that blocks cookies');
}

async function cookiesLost(house, interest) {
  const a = await house.person('en', PHONE);
  const made = visits(a);
  // The real answer, but for its cookie, as behind a proxy or an extension that takes it away.
  await a.page.route('**/api/v1/me', async (route) => {
    const answer = await fetch(`${house.server.url}/api/v1/me`);
    await route.fulfill({ status: answer.status, contentType: 'application/json', body: await answer.text() });
  });
  await a.page.goto('/chat');
  await a.$('.cookies h1').waitFor();
  assert.equal(made.count, 1);
  await a.$('.cookies .btn-p').click();
  await a.$('.cookies [role=status]', { hasText: 'still' }).waitFor();
  assert.equal(made.count, 2, 'one more, because the person asked');
  await a.page.unroute('**/api/v1/me');
  await a.$('.cookies .btn-p').click();
  await a.$('.go .btn').waitFor();
  assert.equal(await a.focused(), 'h1');
  await a.interest(interest);
  await a.start();
  await a.$('.seek .time').waitFor();
  assert.equal(made.count, 3);
}

async function cookiesCleared(house, interest) {
  const [a, b] = await meet(house, interest);
  await a.say('before');
  await b.sees('before');
  const made = visits(a);
  await a.context.clearCookies();
  await a.context.setOffline(true);
  await a.$('.net.offline').waitFor();
  await a.context.setOffline(false);
  await house.server.kill(); // the open socket would have outlived its cookie
  await house.server.up();
  await a.stands('ended');
  assert.equal(await a.$('.net').count(), 0);
  assert.equal(made.count, 1);
  assert.equal(await a.$('.cookies').count(), 0);
}

async function storageBlocked(house, interest) {
  const forbidden = () => {
    for (const name of ['localStorage', 'sessionStorage', 'indexedDB'])
      Object.defineProperty(window, name, {
        get() {
          throw new DOMException('denied', 'SecurityError');
        },
      });
  };
  const [a, b] = await Promise.all([house.person('ko', PHONE), house.person('en')]);
  await a.page.addInitScript(forbidden);
  await Promise.all([a.lobby(interest), b.lobby(interest)]);
  await Promise.all([a.start(), b.start()]);
  await Promise.all([a.met(), b.met()]);
  await a.say('저장소 없이도');
  await b.sees('저장소 없이도');
  await b.say('works');
  await a.sees('works');
  await a.$('.th .ib').click();
  await a.$('.menu:popover-open button').first().click();
  await a.stands('ended');
  await a.$('.over .btn', { hasText: '처음으로' }).click();
  await a.$('.last li').waitFor();
  await eventually('the last talk can be read', async () => {
    await a.$('.last .btn').first().click();
    return (await a.texts()).includes('works') || a.sees('works');
  });
}
