//! The small things of a talk that decide whether people trust it: safe thumbs, nothing typed is
//! lost, true presence, links, first sentences, copying, and what a hidden page tells.
import { strict as assert } from 'node:assert';
import { auditInEveryLook, AUDITED } from './axe.mjs';
import { eventually, startTalk } from './person.mjs';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true };

export const chatWalks = {
  'a press that was meant for the composer does nothing when the partner leaves': safeThumbs,
  'a key that is held skips nobody': heldKeys,
  'a block can be undone for some seconds': undo,
  'a half-written message survives the end and begins the next talk': keptDraft,
  'the dot is hollow while this page is offline, and no notice moves anything': floats,
  'a link opens only after its address was shown': leavingSheet,
  'a first sentence fills the field while there is no message': icebreaker,
  'a hidden page makes a sound and shows only the name': alerts,
  'a message is copied with a finger, the keyboard and the mouse': copying,
  'an old talk shows its date, and a saved one says so': oldTalk,
  'everything that can be pressed in a talk is at least 44 px': targets,
};

const center = async (locator) => {
  const { x, y, width, height } = await locator.boundingBox();
  return { x: x + width / 2, y: y + height / 2 };
};

/**
 * Runs in the page: at the moment when the panel after the end appears, and in the next frame, taps
 * where the Send button was.
 */
function tapWhenEnded({ x, y }) {
  window.tapped = [];
  const tap = () => {
    const button = document.elementFromPoint(x, y).closest('button');
    button.click();
    window.tapped.push(button);
  };
  new MutationObserver((_, observer) => {
    if (!document.querySelector('.end-panel')) return;
    observer.disconnect();
    tap();
    requestAnimationFrame(tap);
  }).observe(document.body, { childList: true, subtree: true });
}

async function safeThumbs(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: PHONE });
  await a.field.fill('그래서 저는');
  const send = await center(a.$('.send-button'));
  const path = new URL(a.page.url()).pathname;
  await a.page.evaluate(tapWhenEnded, send);
  await b.leave();
  await a.waitForState('ended');
  await eventually('both taps', () => a.page.evaluate(() => window.tapped?.length === 2));
  assert.ok(await a.page.evaluate(() => window.tapped.every((button) => button.isConnected)));
  assert.equal(new URL(a.page.url()).pathname, path, 'the taps did not leave the page');
  assert.equal(await a.$('.end-panel').count(), 1);
  // Nothing that reports or blocks is anywhere in the lower half.
  const dangers = await a.page.$$eval('.button-danger, .danger', (all) =>
    all.map((node) => node.getBoundingClientRect()).filter((box) => box.height > 0 && box.top > innerHeight / 2),
  );
  assert.equal(dangers.length, 0);
  await a.$('.end-panel .button-primary').focus();
  await eventually('a press counts again', async () => {
    await a.nextAfterEnd();
    return true;
  });
}

async function heldKeys(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  await b.send('hi');
  await a.waitForText('hi');
  await a.press('.talk-header .next-button', '.talk-header .next-button.armed');
  await a.$('.talk-header .next-button:not(.armed)').waitFor(); // after two seconds
  const { keyboard } = a.page;
  for (const key of ['Escape', 'Enter']) {
    await a.$('.talk-header .next-button').focus();
    for (let repeats = 0; repeats < 8; repeats++) await keyboard.down(key); // repeats from the second on
    assert.equal(await a.state(), 'open', `a held ${key}`);
    assert.equal(await a.$('.next-button.armed').count(), 1, `the first ${key} counts`);
    await keyboard.up(key);
    await a.$('.talk-header .next-button:not(.armed)').waitFor();
  }
}

async function undo(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: { ...PHONE, ...AUDITED } });
  const blocks = [];
  a.page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => blocks.push(String(payload))));
  await a.page.reload(); // so that the frames of the new socket are heard
  await a.waitForTalk();
  await b.send('hi');
  await a.waitForText('hi');
  await a.block();
  await b.waitForState('ended');
  assert.match(await a.$('.undo-strip .button').innerText(), /^되돌리기\s+(10|9|8)초$/);
  await a.press('.undo-strip .button', '.end-panel .said');
  assert.match(await a.$('.end-panel h2').innerText(), /되돌렸어요/);
  await a.waitForFocus(/^(?!nowhere$)/);
  await eventually('the server is told', async () =>
    blocks.some((frame) => frame.includes('"block"') && JSON.parse(frame).on === false),
  );
  assert.equal(await b.$('.end-panel .undo-strip').count(), 0);
  // Without a press the offer goes away, and the panel says what happened.
  await a.$('.talk-header .icon-button').click();
  await a.press('.menu:popover-open .danger', '.undo-strip');
  await auditInEveryLook(a, 'a block that can be undone');
  await a.page.evaluate(() => document.querySelector('button[lang=ko]')?.click());
  await a.$('.undo-strip').waitFor({ state: 'detached' });
  assert.match(await a.$('.end-panel h2').innerText(), /^차단했어요/);
}

async function keptDraft(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: { ...PHONE, ...AUDITED } });
  await a.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const text = '네, 지난주에도 다녀왔어요. 토요일 밤에는';
  await a.field.fill(text);
  await b.leave();
  await a.$('.kept-draft', { hasText: text }).waitFor();
  await a.page.reload();
  await a.$('.kept-draft', { hasText: text }).waitFor();
  await auditInEveryLook(a, 'a kept message');
  await a.page.setViewportSize(PHONE.viewport);
  await a.page.evaluate(() => document.querySelector('button[lang=ko]')?.click());
  await a.$('.kept-draft .button').last().click();
  await a.$('.kept-draft', { hasText: '복사했어요' }).waitFor();
  assert.equal(await a.page.evaluate(() => navigator.clipboard.readText()), text);
  await a.$('.kept-draft .button').first().click();
  await a.$('.kept-draft .carried').waitFor();
  const c = await fixture.person('en');
  await c.openLobby(interest);
  await a.nextAfterEnd();
  await c.acceptRulesAndStart();
  await Promise.all([a.waitForTalk(), c.waitForTalk()]);
  assert.equal(await a.field.inputValue(), text);
  await a.$('.send-button').click();
  await c.waitForText(text);
}

/** Collects the layout shifts from now on that no press caused. */
const watchShifts = (page) =>
  page.evaluate(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const moved = entry.sources.map(({ node }) => node?.className ?? node?.nodeName);
        if (!entry.hadRecentInput) window.shifts.push(`${entry.value.toFixed(4)} ${moved.join(', ')}`);
      }
    }).observe({ type: 'layout-shift' });
  });

async function floats(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: PHONE });
  for (let n = 1; n <= 12; n++) await b.send(`line ${n}`);
  await a.waitForText('line 12');
  assert.equal(await a.$('.talk-header .dot').getAttribute('data-presence'), 'open');
  await a.page.waitForTimeout(600); // input of the last half second excuses a shift
  await watchShifts(a.page);
  const top = () => a.page.evaluate(() => document.querySelector('[data-row]').getBoundingClientRect().top);
  const before = await top();

  await a.context.setOffline(true);
  await a.$('.connection.offline').waitFor();
  assert.equal(await a.$('.talk-header .dot').getAttribute('data-presence'), 'offline');
  assert.match(await a.$('.talk-header .person p').innerText(), /연결 안 됨/);
  assert.equal(await top(), before);
  await a.context.setOffline(false);
  await a.$('.talk-header .dot[data-presence=open]').waitFor();

  const path = new URL(b.page.url()).pathname;
  await b.page.goto('about:blank');
  await a.waitForState('away');
  await a.$('.away-strip b').waitFor();
  const { height, width } = await a.$('.away-strip').boundingBox();
  assert.ok(height <= 48 && width <= 366, `one row: ${width} × ${height}`);
  assert.equal(await a.$('.talk-header .dot').getAttribute('data-presence'), 'away');
  assert.equal(await top(), before);
  await b.page.goto(path);
  await a.waitForState('open');
  assert.equal(await top(), before);
  assert.deepEqual(await a.page.evaluate(() => window.shifts), []);
}

async function leavingSheet(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: { ...PHONE, ...AUDITED } });
  await a.context.route('https://small-cinemas.example/**', (route) =>
    route.fulfill({ contentType: 'text/html', body: '<title>elsewhere</title>' }),
  );
  const sent = 'Stories: https://small-cinemas.example/rain. Look!';
  await b.send(sent);
  await a.waitForText(sent);
  const link = a.$('.web-link');
  assert.equal(await link.innerText(), 'https://small-cinemas.example/rain');
  await link.click();
  const sheet = a.$('.leaving-sheet[open]');
  await sheet.waitFor();
  assert.equal(await sheet.locator('.to b').innerText(), 'small-cinemas.example');
  assert.equal(await sheet.locator('.to span').innerText(), 'small-cinemas.example/rain');
  // At the foot of a phone, once it has slid in.
  await sheet.evaluate(async (box) => {
    while (Math.abs(box.getBoundingClientRect().bottom - 844) >= 2) await new Promise(requestAnimationFrame);
  });
  await auditInEveryLook(a, 'the question before a link');
  await a.page.setViewportSize({ width: 1280, height: 800 });
  await a.page.keyboard.press('Escape');
  await sheet.waitFor({ state: 'detached' });
  await eventually(
    'the focus returns to the link',
    () => a.focusedElement(),
    (where) => where === 'button.web-link',
  );
  await link.click();
  await eventually('beside the link on a wide screen', async () => {
    const [box, bubble] = [await sheet.boundingBox(), await a.$('.bubble').boundingBox()];
    return box.x >= bubble.x + bubble.width && box.x + box.width <= 1280 && box.y + box.height <= 800;
  });
  const opened = a.context.waitForEvent('page');
  await sheet.locator('.button-primary').click();
  const page = await opened;
  await page.waitForURL('https://small-cinemas.example/rain');
  assert.equal(await page.evaluate(() => window.opener), null);
  assert.equal(await page.evaluate(() => document.referrer), '');
  await page.close();
  assert.equal(await a.state(), 'open');
}

async function icebreaker(fixture, interest) {
  const a = await fixture.person('ko', PHONE);
  const b = await fixture.person('en');
  await Promise.all([a.openLobby(interest), b.openLobby(interest)]);
  await Promise.all([a.acceptRulesAndStart(), b.acceptRulesAndStart()]);
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  const chip = a.$('.icebreakers button').first();
  await chip.waitFor();
  const sentence = await chip.innerText();
  assert.ok(sentence.includes(interest));
  await chip.tap();
  assert.equal(await a.field.inputValue(), sentence);
  assert.deepEqual(await b.texts(), [], 'nothing is sent by itself');
  await a.$('.send-button').click();
  await b.waitForText(sentence);
  assert.equal(await a.$('.icebreakers').count(), 0);
  await b.$('.icebreakers').waitFor({ state: 'detached' });
}

/** Runs in the page: counts sounds and notifications instead of making them. */
function record() {
  window.told = { sounds: 0, notes: [] };
  window.Notification = class {
    static permission = 'default';
    static requestPermission = async () => (window.Notification.permission = 'granted');
    constructor(title, options) {
      window.told.notes.push(`${title} ${options?.body ?? ''}`.trim());
    }
    close() {}
  };
  const { createOscillator } = AudioContext.prototype;
  AudioContext.prototype.createOscillator = function () {
    window.told.sounds++;
    return createOscillator.call(this);
  };
  let hidden = false;
  Object.defineProperty(document, 'visibilityState', { get: () => (hidden ? 'hidden' : 'visible') });
  window.hide = (now) => {
    hidden = now;
    document.dispatchEvent(new Event('visibilitychange'));
  };
}

async function alerts(fixture, interest) {
  const [a, b] = await Promise.all([fixture.person('ko', PHONE), fixture.person('en')]);
  await a.page.addInitScript(record);
  await Promise.all([a.openLobby(interest), b.openLobby(interest)]);
  await Promise.all([a.acceptRulesAndStart(), b.acceptRulesAndStart()]);
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  const told = () => a.page.evaluate(() => ({ sounds: window.told.sounds > 0, notes: window.told.notes }));
  const reset = () => a.page.evaluate(() => (window.told = { sounds: 0, notes: [] }));
  const hide = (now) => a.page.evaluate((hidden) => window.hide(hidden), now);

  await b.send('seen');
  await a.waitForText('seen');
  assert.deepEqual(await told(), { sounds: false, notes: [] }, 'a visible page is quiet');
  await hide(true);
  await b.send('heard');
  await a.waitForText('heard');
  assert.deepEqual(await told(), { sounds: true, notes: [] }, 'a sound, but no notification unasked');
  await hide(false);
  await reset();

  await a.$('.talk-header .icon-button').click();
  const switches = a.$('.menu:popover-open .switch');
  await switches.nth(0).uncheck();
  await switches.nth(1).click();
  await eventually('allowed', () => switches.nth(1).isChecked());
  await a.page.keyboard.press('Escape');
  await hide(true);
  const name = (await a.$('.talk-header h1').innerText()).trim();
  await b.send('a secret');
  await a.waitForText('a secret');
  assert.deepEqual(await told(), { sounds: false, notes: [`${name} 님의 새 메시지`] });
}

async function copying(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, {
    a: PHONE,
    b: { permissions: ['clipboard-read', 'clipboard-write'] },
  });
  await a.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await b.send('one to keep');
  await a.send('🍿🎬');
  await a.waitForText('one to keep');
  await b.waitForText('🍿🎬');
  const clipboard = (person) => person.page.evaluate(() => navigator.clipboard.readText());

  // A finger: a long press opens the menu.
  const { x, y } = await center(a.$('.message:not(.own) .bubble'));
  const touch = await a.context.newCDPSession(a.page);
  await touch.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [{ x, y }] });
  await a.$('.message-menu').waitFor();
  await touch.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
  await a.$('.message-menu button').tap();
  await a.$('.toast', { hasText: '복사했어요' }).waitFor();
  assert.equal(await clipboard(a), 'one to keep');
  assert.equal(await a.$('.message-menu').count(), 0);

  // The mouse: a button beside the message.
  await b.$('.message.own').hover();
  await b.$('.message.own .copy-button').click();
  await b.$('.toast').waitFor();
  assert.equal(await clipboard(b), 'one to keep');
  await b.$('.toast').waitFor({ state: 'detached' });

  // The keyboard: up from the empty field to the last own message, and the usual key.
  await b.field.focus();
  await b.page.keyboard.press('ArrowUp');
  await b.page.keyboard.press('ArrowDown');
  await b.page.keyboard.press('Control+c');
  await b.$('.toast').waitFor();
  assert.equal(await clipboard(b), '🍿🎬');
  assert.ok(
    await b.page.$eval('.message.large .bubble', (bubble) => parseFloat(getComputedStyle(bubble).fontSize) > 40),
    'few emoji are large',
  );
}

async function oldTalk(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: PHONE });
  await b.send('hi');
  await a.waitForText('hi');
  assert.match(await a.$('.greeting').innerText(), /인사해 보세요/);
  await b.leave();
  await a.waitForState('ended');
  const download = a.page.waitForEvent('download');
  await a.press('.save-button', '.save-button .icon');
  assert.equal(await a.$('.save-button').innerText(), '저장됨');
  assert.match((await download).suggestedFilename(), /\.txt$/);
  await a.lobbyAfterEnd();
  await a.$('.last-talks .button').first().click();
  await a.waitForText('hi');
  const today = new Intl.DateTimeFormat('ko', { timeZone: 'Asia/Seoul', month: 'long', day: 'numeric' });
  assert.ok((await a.$('.greeting').innerText()).startsWith(today.format(Date.now())));
  assert.doesNotMatch(await a.$('.greeting').innerText(), /인사해/);
}

/** The names of what can be pressed and is smaller than a finger. Links in a text have more room around. */
const small = (page) =>
  page.$$eval('button, a, input, [role=switch]', (all) =>
    all
      .filter((node) => node.checkVisibility() && !node.matches('.web-link, .skip-link'))
      .map((node) => [node, (node.closest('label') ?? node).getBoundingClientRect()])
      // Layout computes in fractions of a pixel: 43.99997 is 44.
      .filter(([, box]) => box.height > 1 && Math.min(Math.round(box.width * 100), Math.round(box.height * 100)) < 4400)
      .map(([node, box]) => `${node.className || node.tagName} ${box.width} × ${box.height}`),
  );

async function targets(fixture, interest) {
  for (const width of [390, 320]) {
    const phone = { viewport: { width, height: 740 }, hasTouch: true };
    const [a, b] = await startTalk(fixture, `${interest} ${width}`, { a: phone });
    const check = async (where) => assert.deepEqual(await small(a.page), [], `${where} at ${width} px`);
    await a.$('.icebreakers button').first().waitFor();
    await check('a talk without messages');
    await b.send('see https://a.example/b');
    await a.waitForText('see https://a.example/b');
    await a.$('.talk-header .icon-button').click();
    await check('the menu');
    await a.page.keyboard.press('Escape');
    await a.$('.web-link').click();
    await check('the question before a link');
    await a.page.keyboard.press('Escape');
    await a.$('.leaving-sheet').waitFor({ state: 'detached' });
    await a.field.fill('쓰던 말');
    await b.leave();
    await a.waitForState('ended');
    await check('the end');
    await a.press('.save-button', '.save-button .icon');
    await check('a saved talk');
  }
}
