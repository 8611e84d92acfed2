//! What is refused: by the browser, or by the server. The page says what and why where it was, and keeps what was written.
import { strict as assert } from 'node:assert';
import { inEveryLook, TESTED } from './axe.mjs';
import { eventually, meet } from './person.mjs';

export const refusalsWalks = {
  'a browser that blocks cookies is told so, and makes no visitor': cookiesBlocked,
  'cookies lost on the way make one visitor a try, and the page goes on once they are kept': cookiesLost,
  'cookies cleared while the page is open make one fresh visitor': cookiesCleared,
  'a browser that blocks every storage can talk all the same': storageBlocked,
  'a refused interest is said at its field, kept, and corrected': interestRefused,
  'interests with joiners are taken as they are written': joiners,
  'a message that the server refuses comes back to the field': messageRefused,
  'a message that nobody could see is not sent': invisible,
  'a report that is refused says so at its field': reportRefused,
  'a block that is refused says so, and works the next time': blockRefused,
  'the age gate is asked for where it was met, and what was wanted follows': ageGate,
  'who was reported or blocked sees what anybody sees who is left': sameEnd,
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
  assert.equal(await a.$('.connection').count(), 0, 'nothing is said to be reconnecting');
  await a.$('.cookies .button-primary').click();
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
  await a.$('.cookies .button-primary').click();
  await a.$('.cookies [role=status]', { hasText: 'still' }).waitFor();
  assert.equal(made.count, 2, 'one more, because the person asked');
  await a.page.unroute('**/api/v1/me');
  await a.$('.cookies .button-primary').click();
  await a.$('.submit .button').waitFor();
  assert.equal(await a.focused(), 'h1');
  await a.interest(interest);
  await a.start();
  await a.$('.seek .elapsed').waitFor();
  assert.equal(made.count, 3);
}

async function cookiesCleared(house, interest) {
  const [a, b] = await meet(house, interest);
  await a.say('before');
  await b.sees('before');
  const made = visits(a);
  await a.context.clearCookies();
  await a.context.setOffline(true);
  await a.$('.connection.offline').waitFor();
  await a.context.setOffline(false);
  await house.server.kill(); // the open socket would have outlived its cookie
  await house.server.up();
  await a.stands('ended');
  assert.equal(await a.$('.connection').count(), 0);
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
  await a.$('.talk-header .icon-button').click();
  await a.$('.menu:popover-open button').first().click();
  await a.stands('ended');
  await a.$('.end-panel .button', { hasText: '처음으로' }).click();
  await a.$('.last-talks li').waitFor();
  await eventually('the last talk can be read', async () => {
    await a.$('.last-talks .button').first().click();
    return (await a.texts()).includes('works') || a.sees('works');
  });
}

/** What the person writes as one word reaches the server as another: only so does it refuse what the page would not send. */
async function garble(person, written, sent) {
  const way = { open: Promise.resolve() };
  await person.page.routeWebSocket('**/ws', (page) => {
    const server = page.connectToServer();
    page.onMessage(async (frame) => {
      await way.open;
      server.send(String(frame).replaceAll(written, sent));
    });
  });
  return way;
}

async function interestRefused(house, interest) {
  const a = await house.person('ko', { ...PHONE, ...TESTED });
  await a.lobby();
  // The page's own rule: said at once, and what was typed stays.
  await a.$('.interests input').fill('재즈\u202e');
  await a.$('.interests input').press('Enter');
  await a.$('.interests.invalid').waitFor();
  assert.equal(await a.$('.interests input').inputValue(), '재즈\u202e');
  await a.$('.interests input').fill('');
  // The server's: one that an earlier version of the page has kept.
  await a.page.evaluate((kept) => localStorage.setItem('maju.choices', JSON.stringify(kept)), {
    interests: [`${interest}\u202e`, interest],
    languages: ['ko', 'en'],
    translate: false,
  });
  await a.page.reload();
  await a.$('#agree').waitFor();
  await a.$('.interests input').fill('산책'); // still being typed when Start is pressed
  await a.$('#agree').check();
  await a.$('.submit .button').click();
  await a.$('.field-group .field-error', { hasText: '쓸 수 없는 관심사' }).waitFor();
  assert.equal(await a.$('.submit .field-error').count(), 0);
  assert.equal(await a.$('.interest').count(), 3);
  assert.deepEqual(await a.$('.interest.invalid').allInnerTexts(), [`${interest}\u202e`]);
  assert.match(await a.focused(), /^input/);
  assert.equal(await a.$('.interests input').getAttribute('aria-invalid'), 'true');
  await inEveryLook(a, 'a refused interest');
  await a.$('.interest button').first().click();
  assert.equal(await a.$('.field-error').count(), 0);
  await a.$('.submit .button').click();
  await a.$('.seek .elapsed').waitFor();
}

async function joiners(house) {
  const a = await house.person('ko');
  const asked = [];
  a.page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => asked.push(String(payload))));
  await a.lobby();
  const topics = ['👩‍💻', '🏳️‍🌈', 'می‌خواهم', 'ක්‍රි'];
  for (const topic of topics) await a.interest(topic);
  await a.$('#agree').check();
  await a.$('.submit .button').click();
  const seek = await eventually('a seek', async () => asked.find((frame) => frame.includes('"seek"')));
  assert.deepEqual(JSON.parse(seek).interests, topics);
}

async function messageRefused(house, interest) {
  const a = await house.person('ko', { ...PHONE, ...TESTED });
  const b = await house.person('en');
  const way = await garble(a, 'REFUSED', '\u202e');
  await Promise.all([a.lobby(interest), b.lobby(interest)]);
  await Promise.all([a.start(), b.start()]);
  await Promise.all([a.met(), b.met()]);
  await a.say('이 말은 REFUSED');
  await a.$('.counter.invalid').waitFor();
  assert.equal(await a.field.inputValue(), '이 말은 REFUSED');
  assert.deepEqual(await a.rows(), []);
  await inEveryLook(a, 'a message that came back');
  // Something else is being written: the refused one waits at its place.
  let release;
  way.open = new Promise((go) => (release = go));
  await a.say('둘째 REFUSED');
  await a.field.pressSequentially('쓰던 말');
  release();
  await a.$('.failed').waitFor();
  await inEveryLook(a, 'a refused message');
  await a.$('.failed .button').first().click();
  assert.equal(await a.field.inputValue(), '둘째 REFUSED\n쓰던 말');
  assert.equal(await a.focused(), 'textarea');
  await a.say('이제 됐어요');
  await b.sees('이제 됐어요');
  assert.deepEqual(await b.texts(), ['이제 됐어요']);
}

async function invisible(house, interest) {
  const [a, b] = await meet(house, interest);
  for (const text of ['\u200b', '\u3164', '\u2800\u00ad', '\u0301']) {
    await a.field.fill(text);
    await a.field.press('Enter');
    await a.$('.counter.invalid', { hasText: '보이는 글자' }).waitFor();
    assert.equal(await a.field.inputValue(), text);
  }
  await a.say('보여요');
  await b.sees('보여요');
  assert.deepEqual(await b.texts(), ['보여요']);
  assert.deepEqual(await a.texts(), ['보여요']);
}

async function reportRefused(house, interest) {
  const a = await house.person('ko', { ...PHONE, ...TESTED });
  const b = await house.person('en');
  await garble(a, 'REFUSED', '\\u0000');
  await Promise.all([a.lobby(interest), b.lobby(interest)]);
  await Promise.all([a.start(), b.start()]);
  await Promise.all([a.met(), b.met()]);
  await b.say('rude');
  await a.sees('rude');
  await a.$('.talk-header .button-danger').click();
  await a.$('.radio').first().check();
  await a.$('.report textarea').fill('REFUSED');
  await a.$('.dialog footer .button-danger-filled').click();
  await a.$('#report-note').waitFor();
  assert.equal(await a.focused(), 'textarea');
  await inEveryLook(a, 'a report whose note is refused');
  await a.$('.report textarea').fill('무례했어요');
  assert.equal(await a.$('#report-note').count(), 0);
  await a.$('.dialog footer .button-danger-filled').click();
  await a.stands('ended');
}

async function blockRefused(house, interest) {
  const a = await house.person('ko', { ...PHONE, ...TESTED });
  const b = await house.person('en');
  let refusals = 1;
  await a.page.routeWebSocket('**/ws', (page) => {
    const server = page.connectToServer();
    page.onMessage((text) => {
      const frame = JSON.parse(String(text));
      if (frame.type !== 'block' || refusals-- <= 0) return server.send(text);
      page.send(
        JSON.stringify({ re: frame.id, error: { code: 'rate_limited', message: 'Wait.', retry_after_ms: 500 } }),
      );
    });
  });
  await Promise.all([a.lobby(interest), b.lobby(interest)]);
  await Promise.all([a.start(), b.start()]);
  await Promise.all([a.met(), b.met()]);
  const block = async () => {
    await a.$('.talk-header .icon-button').click();
    await a.$('.menu:popover-open .danger').click();
  };
  await block();
  await a.$('.strip[role=alert]').waitFor();
  await a.stands('open');
  await inEveryLook(a, 'a block that was refused');
  await block();
  await Promise.all([a.stands('ended'), b.stands('ended')]);
  assert.equal(await a.$('.strip').count(), 0);
}

async function ageGate(house, interest) {
  // The page believes that the rules were accepted; the server knows better.
  const a = await house.person('ko', { ...PHONE, ...TESTED });
  const b = await house.person('en');
  let send = null;
  let gated = 0;
  await a.page.routeWebSocket('**/ws', (page) => {
    const server = page.connectToServer();
    page.onMessage((text) => {
      const frame = JSON.parse(String(text));
      if (frame.type !== send) return server.send(text);
      send = null;
      gated++;
      page.send(JSON.stringify({ re: frame.id, error: { code: 'age_gate', message: 'Confirm first.' } }));
    });
  });
  await a.page.route('**/api/v1/me', async (route) => {
    if (route.request().method() !== 'GET') return route.continue();
    const answer = await route.fetch();
    const me = await answer.json();
    await route.fulfill({ response: answer, json: { ...me, rules: { ...me.rules, accepted: me.rules.current } } });
  });
  await Promise.all([a.lobby(interest), b.lobby(interest)]);
  assert.equal(await a.$('#agree').count(), 0);
  await a.$('.submit .button').click(); // this refusal is the server's own
  await a.$('.consent').waitFor();
  await inEveryLook(a, 'the age gate');
  await a.$('.dialog footer .button-primary').click();
  await a.$('#consent-missing').waitFor();
  await inEveryLook(a, 'the age gate that asks for its tick');
  await pass(a);
  await a.$('.seek .elapsed').waitFor();
  await b.start();
  await Promise.all([a.met(), b.met()]);

  send = 'send'; // as after the rules have changed
  await a.say('규칙을 확인하고 갈 말');
  await a.$('.consent').waitFor();
  assert.deepEqual(
    (await a.rows()).map(([, , status]) => status),
    ['pending'],
  );
  await pass(a);
  await b.sees('규칙을 확인하고 갈 말');

  send = 'send';
  await a.say('나중에 보낼 말');
  await a.$('.consent').waitFor();
  await a.page.keyboard.press('Escape');
  await a.$('.failed .reason').waitFor();
  await a.$('.failed .button').first().click();
  await b.sees('나중에 보낼 말');
  assert.equal(gated, 2);
  assert.equal(await a.$('.connection').count(), 0);
}

async function pass(person) {
  await person.$('.consent .checkbox').check();
  await person.$('.dialog footer .button-primary').click();
  await person.$('.dialog').waitFor({ state: 'detached' });
}

/** The same words from either end: all that a page shows of a talk that is over, but for the names and the time. */
async function sameEnd(house, interest) {
  const ways = {
    leave: async (a) => {
      await a.$('.talk-header .icon-button').click();
      await a.$('.menu:popover-open button').first().click();
    },
    block: async (a) => {
      await a.$('.talk-header .icon-button').click();
      await a.$('.menu:popover-open .danger').click();
    },
    report: async (a) => {
      await a.$('.talk-header .button-danger').click();
      await a.$('.radio').first().check();
      await a.$('.dialog footer .button-danger-filled').click();
      await a.$('.dialog').waitFor({ state: 'detached' });
    },
  };
  const seen = {};
  for (const [way, end] of Object.entries(ways)) {
    const [a, b] = await meet(house, interest);
    await b.say('hi');
    await a.sees('hi');
    const name = await b.$('.talk-header h1').innerText();
    const own = await b.$('.about .names bdi').first().innerText();
    await end(a);
    await Promise.all([a.stands('ended'), b.stands('ended')]);
    const words = async () => {
      const text = await b.page.evaluate(() => `${document.title}\n${document.body.innerText}`);
      return text
        .replaceAll(name, 'THEM')
        .replaceAll(own, 'ME')
        .replace(/\d+:\d+\s*[AP]M/g, 'TIME');
    };
    await b.$('[data-announcer]', { hasText: 'left the chat' }).waitFor(); // told at its own pace
    const ended = (await words()).replace(/Read ·|Sent ·/g, '');
    await b.$('.end-panel .button', { hasText: 'Back to start' }).click();
    await b.$('.last-talks li').waitFor();
    await b.$('.last-talks .button').first().click();
    await b.sees('hi');
    seen[way] = [ended, (await words()).replace(/Read ·|Sent ·/g, '')];
    await house.empty();
  }
  assert.match(seen.leave[0], /left the chat/);
  assert.deepEqual(seen.block, seen.leave);
  assert.deepEqual(seen.report, seen.leave);
}
