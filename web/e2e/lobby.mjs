//! The lobby and the search: quick thumbs, typed interests, the search beside other screens, and
//! notifications.
import { strict as assert } from 'node:assert';
import { eventually, startTalk } from './person.mjs';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: 'light' };

export const lobbyWalks = {
  'lobby: the second of two quick taps on Start stops nothing': quickTaps,
  'lobby: a held or repeated Enter stops nothing': repeatedEnter,
  'lobby: an interest that was typed without Enter counts': typedInterest,
  'lobby: Start stays on the screen of a phone, with the box that is missing': startStays,
  'lobby: a change of the choices is stored at once and says so': saved,
  'lobby: the search goes on in the lobby and beside an old talk, and the strip stops it': beside,
  'lobby: an open talk shows its last line and unread messages': openTalk,
  'lobby: without a network the page says so and the clock of the search stops': offline,
  'lobby: a person who found nobody is told when somebody comes': told,
  'lobby: a browser that refuses notifications is named': refused,
  'lobby: the numbers of the server are shown, and no line without them': numbers,
};

async function centre(person, selector) {
  const box = await person.$(selector).boundingBox();
  return [box.x + box.width / 2, box.y + box.height / 2];
}

async function quickTaps(fixture, interest) {
  const a = await fixture.person('ko', PHONE);
  await a.openLobby(interest);
  await a.$('#agree').check();
  const start = await centre(a, '.submit .button');
  await a.page.touchscreen.tap(...start);
  await a.page.touchscreen.tap(...start);
  await a.$('.seeking .actions .button').waitFor();
  const stop = await centre(a, '.seeking .actions .button');
  assert.ok(Math.abs(stop[1] - start[1]) < 60, 'the thumb finds the button in the same place');
  await a.page.touchscreen.tap(...stop);
  await a.$('.seek .elapsed').waitFor();
  await eventually(
    'the search goes on',
    () => a.$('.seek .elapsed b').innerText(),
    (time) => time >= '0:01',
  );
  // Two quick taps that stop it do not start another one.
  await a.page.touchscreen.tap(...stop);
  await a.$('.submit .button').waitFor();
  await a.page.touchscreen.tap(...start);
  await a.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  assert.equal(await a.$('.seek').count(), 0);
}

async function repeatedEnter(fixture, interest) {
  const a = await fixture.person('ko');
  await a.openLobby(interest);
  await a.$('#agree').check();
  await a.$('.submit .button').focus();
  for (let press = 0; press < 5; press++) await a.page.keyboard.down('Enter'); // repeats after the first
  await a.page.keyboard.up('Enter');
  await a.page.keyboard.press('Enter');
  await a.$('.seek .elapsed').waitFor();
  await a.tabTo('.seeking .actions .button');
  await a.page.keyboard.press('Enter');
  assert.equal(await a.$('.seek .elapsed').count(), 1, 'the button is not yet settled');
  await eventually(
    'the search goes on',
    () => a.$('.seek .elapsed b').innerText(),
    (time) => time >= '0:01',
  );
  await a.page.keyboard.press('Enter');
  await a.$('.submit .button').waitFor();
}

async function typedInterest(fixture, interest) {
  const a = await fixture.person('ko', PHONE);
  await a.openLobby();
  await a.$('#agree').check();
  await a.$('.interests input').fill('뜨개질');
  await a.$('.online-count').tap(); // leaves the field
  await a.$('.interest', { hasText: '뜨개질' }).waitFor();
  await a.$('.interests input').fill(interest);
  await a.page.touchscreen.tap(...(await centre(a, '.submit .button')));
  await a.$('.seek .elapsed').waitFor();
  const stored = await a.page.evaluate(() => JSON.parse(localStorage.getItem('maju.choices')).interests);
  assert.deepEqual(stored, ['뜨개질', interest]);
  await a.$('.seek h1', { hasText: interest }).waitFor();
}

async function startStays(fixture) {
  const a = await fixture.person('ko', { ...PHONE, viewport: { width: 320, height: 568 } });
  await a.openLobby();
  for (const where of [0, 400, 10_000]) {
    await a.page.evaluate((y) => window.scrollTo(0, y), where);
    for (const selector of ['#agree', '.submit .button']) {
      const box = await a.$(selector).boundingBox();
      assert.ok(box.y > 0 && box.y + box.height <= 568, `${selector} at ${where}: ${JSON.stringify(box)}`);
    }
    const covered = await a.page.evaluate(() => {
      const links = document.querySelector('.site-footer .links').getBoundingClientRect();
      return scrollY > 0 && links.bottom > document.querySelector('.submit').getBoundingClientRect().top;
    });
    if (where === 10_000) assert.equal(covered, false, 'the footer can be read');
  }
  assert.equal(await a.page.evaluate(() => document.documentElement.scrollWidth), 320);
}

async function saved(fixture, interest) {
  const a = await fixture.person('ko', PHONE);
  await a.page.goto('/chat');
  await a.$('.submit .button').waitFor();
  assert.equal(await a.$('.choice[lang=en]').isVisible(), false, 'the languages are folded');
  await a.$('.lobby-form summary').tap();
  await a.$('.choice[lang=en] input').check();
  await a.$('.saved', { hasText: '저장됨' }).waitFor();
  await a.$('.lobby-form summary').tap();
  await a.$('.lobby-form summary', { hasText: '한국어, English' }).waitFor();
  await a.addInterest(interest);
  await a.page.reload();
  await a.$('.interest', { hasText: interest }).waitFor();
  assert.match(await a.$('.lobby-form summary').innerText(), /한국어, English/);
}

async function beside(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: PHONE });
  // Right after the talk has opened, a key may be meant for the screen before.
  await eventually('Escape arms Next', async () => {
    await b.page.keyboard.press('Escape');
    return (await b.$('.talk-header .next-button.armed').count()) > 0;
  });
  await b.page.keyboard.press('Escape');
  await a.waitForState('ended');
  await a.page.goto('/chat');
  await a.addInterest('뜨개질');
  await a.$('.submit .button').tap();
  await a.$('.seek .elapsed').waitFor();
  await a.page.goBack();
  await a.$('.seek-strip').waitFor();
  assert.match(await a.$('.seek-strip').innerText(), /뜨개질/);
  await a.$('.last-talks .button').first().tap();
  await a.waitForState('ended');
  await a.$('.seek-strip').waitFor();
  await eventually(
    'the strip counts',
    () => a.$('.seek-strip b').innerText(),
    (time) => time >= '0:02',
  );
  const [strip, header] = [await a.$('.seek-strip').boundingBox(), await a.$('.talk-header').boundingBox()];
  assert.ok(strip.y >= header.y + header.height, 'the strip covers no button of the header');
  await a.$('.strip-link').tap();
  await a.$('.seek .elapsed').waitFor();
  await a.$('.browse').tap();
  await a.$('.seek-strip').waitFor();
  await a.cancelSearch();
  assert.equal(await a.$('.seek-strip').count(), 0);
  await a.waitForFocus(/^(?!nowhere$)/);
}

async function openTalk(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: PHONE });
  await b.send('seen before');
  await a.waitForText('seen before');
  await a.page.goBack();
  await a.$('.open-chat').waitFor();
  assert.equal(await a.$('.open-chat .count').count(), 0);
  await b.send('one');
  await b.send('그 극장, 아직 거기 있어요?');
  await a.$('.open-chat .last', { hasText: '그 극장' }).waitFor();
  assert.match(await a.$('.open-chat .count').innerText(), /^2/);
  assert.match(await a.page.title(), /^\(2\) /);
  await a.$('.open-chat').tap();
  await a.waitForText('그 극장, 아직 거기 있어요?');
  await a.page.goBack();
  await a.$('.open-chat').waitFor();
  assert.equal(await a.$('.open-chat .count').count(), 0);
}

async function offline(fixture, interest) {
  const a = await fixture.person('ko', PHONE);
  let stalled = false;
  await a.page.routeWebSocket('**/ws', (page) => {
    const server = page.connectToServer();
    page.onMessage((frame) => stalled || server.send(frame));
    server.onMessage((frame) => stalled || page.send(frame));
  });
  await a.openLobby(interest);
  stalled = true;
  await a.context.setOffline(true);
  await a.$('.connection.offline', { hasText: '돌아오면 바로 시작할 수 있어요' }).waitFor();
  stalled = false;
  await a.context.setOffline(false);
  await a.$('.connection.offline').waitFor({ state: 'detached' });
  await a.acceptRulesAndStart();
  await a.$('.seek .elapsed').waitFor();
  stalled = true;
  await a.context.setOffline(true);
  await a.$('.seek .reason', { hasText: '인터넷이 끊겼어요. 돌아오면 이어서 찾을게요' }).waitFor();
  const time = await a.$('.seek .elapsed b').innerText();
  await a.page.waitForFunction(
    (began) => performance.now() - began > 2_500,
    await a.page.evaluate(() => performance.now()),
  );
  assert.equal(await a.$('.seek .elapsed b').innerText(), time, 'the clock has stopped');
  stalled = false;
  await a.context.setOffline(false);
  await eventually(
    'the clock goes on',
    () => a.$('.seek .elapsed b').innerText(),
    (now) => now > time,
  );
  assert.equal(await a.$('.seek .elapsed.paused').count(), 0);
}

/** Runs in the page before its own scripts: notifications are recorded, the page can be hidden. */
function recordNotifications(answer) {
  window.shown = [];
  window.asked = 0;
  let permission = 'default';
  window.Notification = class {
    static get permission() {
      return permission;
    }
    static async requestPermission() {
      window.asked++;
      return (permission = answer);
    }
    constructor(text) {
      window.shown.push(text);
    }
    close() {}
  };
  const notes = (window.notes = []);
  window.AudioContext = class {
    currentTime = 0;
    destination = {};
    resume = async () => undefined;
    createGain = () => ({
      gain: { setValueAtTime() {}, exponentialRampToValueAtTime() {} },
      connect: (next) => next,
    });
    createOscillator = () => ({ frequency: {}, connect: (next) => next, start: () => notes.push(1), stop() {} });
  };
  window.hide = () => Object.defineProperty(document, 'visibilityState', { get: () => 'hidden', configurable: true });
}

async function untilQuiet(fixture, interest, answer) {
  const a = await fixture.person('ko', PHONE);
  await a.page.addInitScript(recordNotifications, answer);
  await a.page.clock.install();
  await a.openLobby(interest);
  await a.acceptRulesAndStart();
  await a.$('.seek .elapsed').waitFor();
  await a.passSearch();
  await a.$('.seek h1', { hasText: '누가 오면 알려 드릴까요' }).waitFor();
  assert.equal(await a.page.evaluate(() => window.asked), 0, 'nothing is asked without a press');
  await a.$('.seek .button-primary').tap();
  return a;
}

async function told(fixture, interest) {
  const a = await untilQuiet(fixture, interest, 'granted');
  await a.$('.seek h1', { hasText: '알려 드릴게요' }).waitFor();
  assert.match(await a.$('.seek .reason').innerText(), /이 탭을 열어 두면/);
  assert.match(await a.$('.seeking .actions').innerText(), /그만 기다리기/);
  await a.page.evaluate(() => window.hide());
  const b = await fixture.person('en');
  await b.openLobby(interest);
  await b.acceptRulesAndStart();
  await b.waitForTalk();
  const [shown] = await eventually(
    'a notification',
    () => a.page.evaluate(() => window.shown),
    (all) => all.length > 0,
  );
  assert.match(shown, /이어졌어요/);
  assert.equal(await a.page.evaluate(() => window.notes.length), 2, 'a soft sound of two notes');
}

async function refused(fixture, interest) {
  const a = await untilQuiet(fixture, interest, 'denied');
  await a.$('.seek .hint', { hasText: '이 브라우저가 알림을 막고 있어요' }).waitFor();
  await a.$('.browse').tap();
  await a.$('.switch-row', { hasText: '이 브라우저가 알림을 막고 있어요' }).waitFor();
}

async function numbers(fixture) {
  const a = await fixture.person('ko');
  const json = (path, body) => a.page.route(path, (route) => route.fulfill(body));
  const nothing = { status: 404, json: { code: 'not_found', title: 'no' } };
  for (const path of ['**/api/v1/stats', '**/api/v1/topics**', '**/api/v1/waits']) await json(path, nothing);
  await a.page.goto('/chat');
  await a.$('.submit .button').waitFor();
  await a.$('.seat.empty').waitFor();
  assert.equal(await a.$('.seat dl, .hours, .online-count b, .choice small').count(), 0);
  for (const path of ['**/api/v1/stats', '**/api/v1/topics**', '**/api/v1/waits']) await a.page.unroute(path);
  const topic = (id, name, waiting) => ({ id, name, also: [], waiting });
  const items = [topic('films', '영화', 31), topic('rain', '비 오는 날', 21), topic('cats', '고양이', null)];
  const hours = Array.from({ length: 24 }, (_, hour) => ({ hour, median_s: hour < 6 ? 20 : 5 }));
  await json('**/api/v1/stats', { json: { items: [{ key: 'median_wait_ms', value: 6_000 }], next: null } });
  await json('**/api/v1/topics?**', { json: { items, next: null } });
  await json('**/api/v1/topics/together?**', { json: { waiting: 9 } });
  await json('**/api/v1/waits', { json: { hours, busiest: 21, days: 7 } });
  await a.page.reload();
  await a.$('.seat h2', { hasText: '보통 6초면' }).waitFor();
  const chips = await a.$('.choices .choice').filter({ visible: true }).allInnerTexts();
  assert.deepEqual(
    chips.map((chip) => chip.replace(/\s/g, '')),
    ['영화31명', '비오는날21명', '고양이'],
  );
  await a.$('.choice', { hasText: '영화' }).click();
  await a.$('.choice', { hasText: '비 오는 날' }).click();
  await a.$('.both', { hasText: '둘 다 고른 사람 9명' }).waitFor();
  assert.deepEqual(await a.$('.seat dd').allInnerTexts(), ['31명', '21명', '9명']);
  assert.equal(await a.$('.hours li').count(), 12);
  assert.match(await a.$('.seat').innerText(), /보통 오후\s9시쯤 사람이 많아져요/);
}
