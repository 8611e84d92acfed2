//! The look of the pages: the choice of a theme, the header with large text, the first section on a
//! phone, the facts on the landing page, the animals.
import { strict as assert } from 'node:assert';
import { startTalk } from './person.mjs';

export const lookWalks = {
  'the theme is chosen from three words on every page, and colours the bars': theme,
  'with text at 200 % the header has two rows without an overlap': header,
  'on a phone the first section is large and in both languages': hero,
  'the landing page tells what is stored, who runs it and what a lost connection changes': facts,
  'everybody is an animal, and the own one looks the other way': animals,
};

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true };

const shown = (person) =>
  person.page.evaluate(() => ({
    background: getComputedStyle(document.body).backgroundColor,
    chosen: document.querySelector('.theme :checked').value,
    // The colour of the bars: the first one that applies.
    bars: [...document.querySelectorAll('meta[name=theme-color]')].find(
      (meta) => !meta.media || matchMedia(meta.media).matches,
    )?.content,
  }));

const LIGHT = { background: 'rgb(251, 249, 244)', bars: '#fbf9f4' };
const DARK = { background: 'rgb(20, 19, 15)', bars: '#14130f' };

async function theme(fixture) {
  const a = await fixture.person('ko', { ...PHONE, colorScheme: 'light' });
  const choose = (word) => a.$('.theme label', { hasText: word }).click();
  await a.page.goto('/ko');
  assert.deepEqual(await shown(a), { ...LIGHT, chosen: 'auto' });
  await choose('어둡게');
  assert.deepEqual(await shown(a), { ...DARK, chosen: 'dark' });
  // The server renders the choice, so that nothing flashes.
  const html = await (await a.page.reload()).text();
  assert.match(html, /<html lang="ko" data-theme="dark">/);
  assert.deepEqual(await shown(a), { ...DARK, chosen: 'dark' });
  await a.openLobby();
  assert.deepEqual(await shown(a), { ...DARK, chosen: 'dark' });
  await choose('밝게');
  assert.deepEqual(await shown(a), { ...LIGHT, chosen: 'light' });
  await a.page.emulateMedia({ colorScheme: 'dark' });
  assert.deepEqual(await shown(a), { ...LIGHT, chosen: 'light' });
  await choose('자동');
  assert.deepEqual(await shown(a), { ...DARK, chosen: 'auto' });
  // The page of before shows the choice that was made meanwhile.
  await a.page.goBack();
  await a.page.waitForFunction(() => document.querySelector('.theme :checked')?.value === 'auto');
  const small = await a.page.$$eval('.theme label', (all) => all.map((one) => one.getBoundingClientRect().height));
  assert.ok(
    small.every((height) => height >= 44),
    `targets of ${small}`,
  );
}

async function header(fixture) {
  const a = await fixture.person('ko', { viewport: { width: 320, height: 640 } });
  for (const path of ['/ko', '/en', '/chat']) {
    await a.page.goto(path);
    await a.$('.site-header .brand').waitFor();
    await a.page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
    const boxes = await a.page.$$eval('.site-header :is(a, button)', (all) =>
      all
        .map((one) => one.getBoundingClientRect())
        .filter((box) => box.width > 0)
        .map(({ left, right, top, bottom }) => ({ left, right, top, bottom })),
    );
    assert.ok(boxes.length >= 2, path);
    for (const [at, one] of boxes.entries()) {
      assert.ok(one.left >= 0 && one.right <= 320, `${path}: ${JSON.stringify(one)} is inside`);
      for (const other of boxes.slice(at + 1)) {
        const apart =
          one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top;
        assert.ok(apart, `${path}: ${JSON.stringify([one, other])} overlap`);
      }
    }
    assert.ok(boxes.at(-1).top >= boxes[0].bottom, `${path} has two rows`);
  }
}

async function hero(fixture) {
  const a = await fixture.person('ko', PHONE);
  for (const [path, echo] of [
    ['/ko', 'en'],
    ['/en', 'ko'],
  ]) {
    await a.page.goto(path);
    assert.ok(await a.$(`.hero .echo[lang=${echo}]`).isVisible(), `${path} has the other language`);
    assert.ok(await a.$(`.hero .echo-link a[hreflang=${echo}]`).isVisible());
    const [title, width] = await a.page.$eval('h1', (one) => [
      parseFloat(getComputedStyle(one).fontSize),
      one.scrollWidth - one.clientWidth,
    ]);
    assert.ok(title >= 40, `${path}: the title has ${title} px`);
    assert.ok(width <= 0, `${path}: the title fits`);
  }
}

async function facts(fixture) {
  const a = await fixture.person('ko', PHONE);
  for (const path of ['/ko', '/en']) {
    await a.page.goto(path);
    const durations = await a.page.$$eval('.stored li > b', (all) => all.map((one) => one.textContent));
    assert.deepEqual(
      durations,
      path === '/ko'
        ? ['24시간', '30일', '기한 없음', '저장 안 함']
        : ['24 hours', '30 days', 'No end yet', 'Not stored'],
    );
    assert.match(await a.$('.runner dd').first().innerText(), /(127\.0\.0\.1|localhost)/);
    // Nobody is here, so no topics are shown.
    assert.equal(await a.$('#topics').count(), 0);
    // Both screens have the same messages, and each has the lost connection after the second one.
    const rows = await a.page.$$eval('.screen', (screens) =>
      screens.map((screen) =>
        [...screen.querySelectorAll('li')].map((row) =>
          row.classList.contains('cut') ? 'cut' : row.querySelector('.bubble').textContent,
        ),
      ),
    );
    assert.deepEqual(rows[0], rows[1]);
    assert.equal(rows[0][2], 'cut');
  }
  await a.$('.runner a').click();
  await a.page.waitForURL('**/en/contact');
}

async function animals(fixture, interest) {
  const [a] = await startTalk(fixture, interest);
  const drawn = await a.page.$$eval('.about .avatar', (all) =>
    all.map((one) => ({
      animal: one.dataset.animal,
      own: one.classList.contains('avatar-own'),
      mirrored: getComputedStyle(one.querySelector('path')).transform.startsWith('matrix(-1'),
      parts: [...one.querySelectorAll('path')].filter((path) => path.getAttribute('d') && path.getBBox().width > 0)
        .length,
    })),
  );
  assert.equal(drawn.length, 2);
  assert.notEqual(drawn[0].animal, drawn[1].animal);
  assert.deepEqual(
    drawn.map(({ own, mirrored }) => [own, mirrored]),
    [
      [true, true],
      [false, false],
    ],
  );
  assert.ok(
    drawn.every(({ parts }) => parts >= 2),
    JSON.stringify(drawn),
  );
}
