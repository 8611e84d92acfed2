//! Texts that could break the layout: stacked marks, words without a break, very many lines. Each
//! stays in its box.
import { strict as assert } from 'node:assert';
import { auditInEveryLook, AUDITED } from './axe.mjs';
import { eventually, startTalk } from './person.mjs';

export const textsWalks = {
  'stacked marks and words without a break stay in their boxes at 320 px': stacked,
  'names and interests of strangers stay in their boxes at 320 px': named,
  'a long message folds, unfolds without scrolling, and is complete': folded,
  'a long message folds and unfolds with the keyboard': foldedByKeys,
  'long texts are bounded in the composer, the report and the announcements': bounded,
};

const NARROW = { viewport: { width: 320, height: 640 } };

const TEXTS = {
  'combining marks': `Z${'\u0301\u0302\u0303\u0304'.repeat(20)}`,
  'enclosing marks': `a${'\u20dd\u20e0'.repeat(60)}`,
  'Thai vowels': `ก${'ำ'.repeat(200)}`,
  'Thai marks above': `ก${'\u0e34\u0e49'.repeat(100)}`,
  'Tibetan stacks': `ཀ${'\u0fb2\u0f71'.repeat(100)}`,
  'Devanagari signs': `क${'\u093f\u0903'.repeat(100)}`,
  'wide ligatures': '\ufdfd'.repeat(20),
  'a chain of joined emoji': '👩\u200d'.repeat(150) + '👩',
  'one word of 2,000 characters': 'W'.repeat(2000),
  'Hangul without a space': '가나다라'.repeat(100),
  'a word from right to left': 'שלום'.repeat(60),
  'non-breaking spaces': 'ab\u00a0\u2007\u202f\u2060'.repeat(60),
};

/** Returns the names of elements that are wider than their page or list. */
const overflows = (page) =>
  page.evaluate(() => {
    const wide = (node, name) =>
      node && node.scrollWidth > node.clientWidth ? `${name}: ${node.scrollWidth} in ${node.clientWidth}` : [];
    const outside = [
      ...document.querySelectorAll(
        '.bubble, .interest, .talk-header h1, .greeting p, .meta, .strip, .end-panel h2, .dialog, .seek h1, .last-talks li',
      ),
    ]
      .filter((node) => node.getClientRects().length > 0)
      .filter(
        (node) => node.getBoundingClientRect().right > innerWidth + 0.5 || node.getBoundingClientRect().left < -0.5,
      )
      .map((node) => `${node.className || node.tagName} ends at ${node.getBoundingClientRect().right}`);
    return [
      wide(document.documentElement, 'the page'),
      wide(document.querySelector('.log'), 'the log'),
      wide(document.querySelector('.dialog .body'), 'the dialog'),
      wide(document.querySelector('.evidence'), 'the evidence'),
      outside,
    ].flat();
  });

/** Levels by which antialiasing differs when the browser paints the same thing again. */
const ROUNDING = 8;

/** Returns the largest difference of a color channel between two screenshots, in levels. */
function difference(page, one, other) {
  if (one === other) return 0;
  const compare = async (shots) => {
    const [a, b] = await Promise.all(
      shots.map(async (shot) => {
        const bytes = Uint8Array.from(atob(shot), (letter) => letter.charCodeAt(0));
        const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
        const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, image.width, image.height).data;
      }),
    );
    return a.reduce((most, level, at) => Math.max(most, Math.abs(level - b[at])), 0);
  };
  return page.evaluate(compare, [one, other]);
}

/**
 * Asserts that no text is painted outside its bubble: the page around it looks the same with and
 * without the text.
 */
async function paintsInside(person, where) {
  const { top, bottom } = await person
    .$('.bubble')
    .last()
    .evaluate((bubble) => {
      const box = bubble.getBoundingClientRect();
      return { top: Math.floor(box.top), bottom: Math.ceil(box.bottom) };
    });
  const around = async () => {
    const shots = [];
    for (const [y, height] of [
      [Math.max(65, top - 120), Math.min(120, top - 65)],
      [bottom, 12],
    ]) {
      if (height > 0)
        shots.push(await person.page.screenshot({ clip: { x: 0, y, width: 320, height }, caret: 'hide' }));
    }
    return shots.map((shot) => shot.toString('base64'));
  };
  const ink = (visibility) =>
    person
      .$('.bubble .text')
      .last()
      .evaluate((text, wanted) => (text.style.visibility = wanted), visibility);
  // Repeated, because a font that loads late moves the page.
  await eventually(`${where} is painted in its bubble only`, async () => {
    const shown = await around();
    await ink('hidden');
    const hidden = await around();
    await ink('');
    const differences = await Promise.all(shown.map((shot, at) => difference(person.page, shot, hidden[at])));
    return Math.max(...differences) <= ROUNDING;
  });
}

async function stacked(fixture, interest) {
  const calm = { ...NARROW, reducedMotion: 'reduce' };
  const [a, b] = await startTalk(fixture, interest, { a: calm, b: calm });
  for (const [where, text] of Object.entries(TEXTS)) {
    await b.send(text);
    await a.waitForText(text.normalize('NFC'));
    for (const person of [a, b]) assert.deepEqual(await overflows(person.page), [], `${where}, ${person.locale}`);
    await eventually('the end is visible', () =>
      a.page.evaluate(() => {
        const { scrollHeight, clientHeight, scrollTop } = document.querySelector('.log');
        return scrollHeight - clientHeight - scrollTop <= 1;
      }),
    );
    if ((await a.$('.bubble').last().boundingBox()).height < 300) await paintsInside(a, where);
  }
  await a.press('.talk-header .button-danger', '.dialog');
  await a.$('.evidence li').first().waitFor();
  assert.deepEqual(await overflows(a.page), [], 'the report');
}

async function named(fixture) {
  // One grapheme cluster each, which cannot be broken.
  const name = `ก${'ำ'.repeat(23)}`;
  const interests = [`ก${'ำ'.repeat(29)}`, `Z${'\u0316\u0317\u0318'.repeat(9)}`, 'W'.repeat(30), 'שלום'.repeat(7)];
  const a = await fixture.person('ko', NARROW);
  const b = await fixture.person('en', NARROW);
  // Replaces the alias by a chosen name.
  await a.page.routeWebSocket('**/ws', (page) => {
    const server = page.connectToServer();
    server.onMessage((text) => {
      const frame = JSON.parse(String(text));
      for (const holder of [frame, frame.ok?.session].filter(Boolean))
        if (holder.partner?.name) Object.assign(holder.partner, { name, animal: null });
      page.send(JSON.stringify(frame));
    });
  });
  for (const person of [a, b]) {
    await person.openLobby();
    for (const interest of interests) {
      await person.$('.interests input').fill(interest);
      await person.$('.interests input').press('Enter');
    }
    await eventually(
      'the interests',
      () => person.$('.interest').count(),
      (count) => count === interests.length,
    );
    assert.deepEqual(await overflows(person.page), [], 'the lobby');
  }
  await a.acceptRulesAndStart();
  await a.$('.seek .elapsed').waitFor();
  assert.deepEqual(await overflows(a.page), [], 'looking');
  await b.acceptRulesAndStart();
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  await b.send('hi');
  await a.waitForText('hi');
  assert.equal((await a.$('.talk-header h1').innerText()).trim(), name);
  assert.deepEqual(await overflows(a.page), [], 'the talk');
  await b.field.pressSequentially('…');
  await a.$('.typing').waitFor();
  assert.deepEqual(await overflows(a.page), [], 'typing');
  const path = new URL(b.page.url()).pathname;
  await b.page.goto('about:blank');
  await a.waitForState('away');
  assert.deepEqual(await overflows(a.page), [], 'away');
  await b.page.goto(path);
  await a.waitForState('open');
  await a.press('.talk-header .button-danger', '.dialog');
  await a.$('.dialog').waitFor();
  assert.deepEqual(await overflows(a.page), [], 'the report');
  await a.page.keyboard.press('Escape');
  await b.leave();
  await a.waitForState('ended');
  assert.deepEqual(await overflows(a.page), [], 'the end');
  await a.lobbyAfterEnd();
  assert.deepEqual(await overflows(a.page), [], 'last talks');
}

const LONG = `a${'\n'.repeat(1998)}b`;

/** Returns the position and the height of the last bubble, in pixels. */
const lastBubble = (page) =>
  page.evaluate(() => {
    const box = [...document.querySelectorAll('.bubble')].at(-1).getBoundingClientRect();
    return { top: Math.round(box.top), height: Math.round(box.height) };
  });

/**
 * Returns the same after two equal measurements, because a new size of the page moves the list
 * first.
 */
function settled(page) {
  let last;
  return eventually('the list stands still', async () => {
    const [before, now] = [last, await lastBubble(page)];
    last = now;
    await page.waitForTimeout(100);
    return before?.top === now.top ? now : null;
  });
}

async function folded(fixture, interest) {
  const looks = { viewport: { width: 390, height: 844 }, ...AUDITED };
  const [a, b] = await startTalk(fixture, interest, { a: looks, b: looks });
  // More than a screen, because a shorter list does not scroll.
  for (let n = 1; n <= 12; n++) await b.send(`before ${n}`);
  await a.waitForText('before 12');
  await b.send(LONG);
  await a.waitForText(LONG); // the page contains all of it
  for (const person of [a, b]) {
    await person.$('.fold-button').waitFor();
    const { height } = await lastBubble(person.page);
    assert.ok(height < 400, `${height} px in ${person.locale}`);
  }
  await auditInEveryLook(a, 'a folded message');
  await a.page.setViewportSize({ width: 390, height: 844 });
  const before = await settled(a.page);
  await a.$('.fold-button').click();
  await a.$('.fold-button[aria-expanded=true]').waitFor();
  const open = await lastBubble(a.page);
  assert.ok(open.height > 40_000);
  assert.ok(Math.abs(open.top - before.top) <= 1, `it was at ${before.top}, and is at ${open.top}`);
  await a.$('.jump-button').waitFor();
  // A new message arrives: the scroll position stays.
  await b.send('meanwhile');
  await a.waitForText('meanwhile');
  await a.$('.jump-button.has-new').waitFor();
  const now = await a.page.evaluate(
    () => document.querySelector('.fold-button').closest('.bubble').getBoundingClientRect().top,
  );
  assert.ok(Math.abs(now - before.top) <= 1, `it has moved to ${now}`);
  await a.$('.fold-button').scrollIntoViewIfNeeded();
  await auditInEveryLook(a, 'an open long message');
  await a.page.setViewportSize({ width: 390, height: 844 });
  await a.$('.fold-button').scrollIntoViewIfNeeded();
  await a.$('.fold-button').click();
  await a.$('.fold-button[aria-expanded=false]').waitFor();
  assert.ok(
    await a.$('.fold-button').evaluate((button) => {
      const { top, bottom } = button.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    }),
    'the button stays in sight',
  );
  // Twenty lines fold, ten do not.
  await b.send(Array.from({ length: 20 }, (_, at) => `line ${at + 1}`).join('\n'));
  await eventually(
    'two fold',
    () => a.$('.fold-button').count(),
    (count) => count === 2,
  );
  await b.send(Array.from({ length: 10 }, (_, at) => `row ${at + 1}`).join('\n'));
  await a.waitForText(Array.from({ length: 10 }, (_, at) => `row ${at + 1}`).join('\n'));
  assert.equal(await a.$('.fold-button').count(), 2);
  // The same text has more lines on a narrower page and fewer on a wider one.
  await b.send('가나다라마바사 '.repeat(40));
  await a.page.setViewportSize({ width: 320, height: 640 });
  await eventually(
    'three fold',
    () => a.$('.fold-button').count(),
    (count) => count === 3,
  );
  await a.page.setViewportSize({ width: 1280, height: 800 });
  await eventually(
    'two fold again',
    () => a.$('.fold-button').count(),
    (count) => count === 2,
  );
}

async function foldedByKeys(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  await b.send(LONG);
  await a.$('.fold-button').waitFor();
  await a.field.focus();
  // Backwards: first the button, then its message.
  await a.page.keyboard.press('Shift+Tab');
  await a.waitForFocus('button.fold-button');
  await a.page.keyboard.press('Shift+Tab');
  const name = await a.page.evaluate(() => {
    const ids = document.activeElement.getAttribute('aria-labelledby').split(' ');
    return ids.map((id) => document.getElementById(id).textContent).join(' ');
  });
  assert.match(name, /긴 메시지/);
  assert.ok(name.length < 300, 'the name is shorter than the text');
  await a.page.keyboard.press('Enter'); // into the message
  await a.waitForFocus('button.fold-button');
  await a.page.keyboard.press('Enter');
  await a.$('.fold-button[aria-expanded=true]').waitFor();
  await a.waitForFocus('button.fold-button');
  await a.page.keyboard.press('Space');
  await a.$('.fold-button[aria-expanded=false]').waitFor();
  await a.page.keyboard.press('Escape');
  await a.waitForFocus(/message/);
}

async function bounded(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: { viewport: { width: 390, height: 844 } } });
  await a.field.fill(LONG);
  assert.ok((await a.field.boundingBox()).height < 200, 'the composer');
  await a.field.fill('');
  await b.send(LONG);
  await a.$('.fold-button').waitFor();
  await b.send('x'.repeat(2000));
  const announcement = await eventually(
    'the last message is announced',
    () => a.$('[data-announcer]').innerText(),
    (text) => text.includes('xxx'),
  );
  assert.ok(announcement.length < 300, 'the announcement');
  await a.press('.talk-header .button-danger', '.dialog');
  const rows = await a.$('.evidence li').evaluateAll((all) => all.map((row) => row.getBoundingClientRect().height));
  assert.ok(
    rows.every((height) => height < 200),
    `the evidence: ${rows}`,
  );
}
