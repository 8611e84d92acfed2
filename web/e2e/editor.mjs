//! The editor of the pages, by people who have never seen it: on a phone, by keyboard, without
//! JavaScript, two at once; and axe over every page and state.
import { strict as assert } from 'node:assert';
import { AUDITED, LOOKS, audit } from './axe.mjs';
import { editor } from './editors.mjs';
import { eventually } from './person.mjs';

export const editorWalks = {
  'an editor writes on a phone, sees the draft, publishes, and an open page shows it': writes,
  'an editor schedules a text, cancels it, and brings an old text back': schedules,
  'two editors at one section lose nothing': conflict,
  'sections are put in order by keyboard only': order,
  'the editor works without JavaScript': withoutScript,
  'numbers and banners are written on a phone': numbersAndBanners,
  'axe: the pages of the editor': axe,
};

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: 'light' };
const path = (person) => new URL(person.page.url()).pathname;

/** Opens the editor of a section by its name in the list. */
async function openSection(person, name, page = 'landing') {
  await person.page.goto(`/admin/pages/${page}`);
  await person.$('.section-name', { hasText: name }).first().click();
  await person.$('#section-form').waitFor();
}

const saved = (person) => person.$('[data-saved][data-state=saved]', { hasText: /저장됨|saved/ }).waitFor();

async function publish(person, note) {
  await person.$('.editor-head button[value=publish]').click();
  await person.page.waitForURL((url) => url.pathname.endsWith('/publish'));
  if (note) await person.$('#note').fill(note);
  await person.$('.publish .button-primary').click();
  await person.$('.page-note').waitFor();
}

async function writes(fixture) {
  const reader = await fixture.person('ko');
  await reader.page.goto('/ko');
  await reader.$('h1').first().waitFor();
  const a = await editor(fixture, 'haru', 'ko', PHONE);
  await openSection(a, '첫 문장');
  await a.$('#ko-title').fill('처음 만난 사람과\n천천히 이야기해요.');
  await a.$('[data-saved][data-state=unsaved]').waitFor();
  await saved(a);
  await a.$('#en-lead').fill('No name needed.');
  await a.page.keyboard.press('Control+s');
  await saved(a);
  assert.match(await a.$('[data-saved]').innerText(), /초안 저장됨 오[전후] \d/);
  assert.ok(!path(a).endsWith('/publish'), 'the shortcut saves and does not publish');

  // The preview shows the draft, in both languages.
  await a.$('#preview').scrollIntoViewIfNeeded();
  const frame = a.page.frameLocator('.preview-frame iframe').first();
  await frame.locator('h1', { hasText: '천천히' }).waitFor();
  await a.$('.segments a[lang=en]').click();
  await a.page.frameLocator('.preview-frame iframe').first().locator('text=No name needed.').first().waitFor();

  await publish(a, '더 부드럽게');
  assert.match(await a.$('.page-note').innerText(), /게시했어요/);
  await a.$('.history-entries', { hasText: '더 부드럽게' }).waitFor();
  await eventually(
    'the open landing page',
    () => reader.$('h1').first().innerText(),
    (text) => text.includes('천천히'),
  );

  // Leaving with unsaved work warns.
  await a.$('#ko-button').fill('지금 시작');
  const warned = a.page.waitForEvent('dialog');
  // The click ends only after the question was answered.
  const clicked = a.$('.sibling-list header a').click({ noWaitAfter: true });
  const dialog = await warned;
  assert.equal(dialog.type(), 'beforeunload');
  await dialog.dismiss();
  await clicked.catch(() => undefined);
  assert.equal(await a.$('#ko-button').inputValue(), '지금 시작');
  await saved(a);
}

async function schedules(fixture) {
  const a = await editor(fixture, 'haru', 'ko', PHONE);
  await openSection(a, '머리글', 'terms');
  const before = await a.$('#ko-title').inputValue();
  await a.$('#ko-title').fill('새 약관');
  await saved(a);
  await a.$('.editor-head button[value=publish]').click();
  assert.equal(await a.$('[data-zone]').innerText(), '이 기기의 시각이에요.');
  await a.$('#when-time').fill('09:00');
  assert.ok(await a.$('[value=later]').isChecked(), 'a time that is entered is meant');
  await a.$('.publish .button-primary').click();
  assert.match(await a.$('.page-note').innerText(), /오전 9:00에 게시하도록 예약했어요/);
  await a.$('.badge', { hasText: '예약됨' }).first().waitFor();
  await a.$('form[action$="/cancel"] button').click();
  assert.match(await a.$('.page-note').innerText(), /예약을 취소했어요/);

  await a.$('.comparison form button').click();
  assert.match(await a.$('.page-note').innerText(), /초안으로 가져왔어요/);
  assert.equal(await a.$('#ko-title').inputValue(), before);
}

async function conflict(fixture) {
  const a = await editor(fixture, 'haru', 'ko', PHONE);
  const b = await editor(fixture, 'jin', 'ko');
  await openSection(a, '마지막 권유');
  await openSection(b, '마지막 권유');
  assert.match(await b.$('[data-others]').innerText(), /haru 님도 보고 있어요/);
  await b.$('#ko-title').fill('진의 제목');
  await b.$('#ko-button').fill('진의 단추');
  await saved(b);
  await a.$('#ko-title').fill('하루의 제목');
  await a.$('[data-conflict]').waitFor();
  assert.match(await a.$('[data-conflict] b').innerText(), /jin 님이 오[전후] .*먼저 저장했어요/);
  assert.equal(await a.$('#ko-title').inputValue(), '하루의 제목', 'nothing is lost');
  await a.$('[data-conflict] button').click();
  await a.$('.conflict-unit').first().waitFor();
  await a.$('.conflict-unit', { hasText: '단추' }).locator('input[value=theirs]').check();
  await a.$('button[value=chosen]').click();
  await a.$('#section-form').waitFor();
  assert.equal(await a.$('#ko-title').inputValue(), '하루의 제목');
  assert.equal(await a.$('#ko-button').inputValue(), '진의 단추');
}

async function order(fixture) {
  const a = await editor(fixture, 'haru', 'ko');
  await a.page.goto('/admin/pages/landing');
  const names = () => a.page.$$eval('.section-name b', (all) => all.map((one) => one.textContent));
  const before = await names();
  await a.$('[data-order][data-ready]').waitFor();
  await a.$('[data-group] button[value=down]').first().focus();
  await a.page.keyboard.press('Enter');
  await a.page.keyboard.press('Enter');
  assert.deepEqual(await names(), [before[1], before[2], before[0], ...before.slice(3)]);
  assert.equal(await a.page.evaluate(() => document.activeElement.value), 'down', 'the focus stays on the button');
  assert.match(await a.$('[data-moved]').innerText(), /3번째 자리로 옮겼어요/);
  await eventually(
    'the order after a reload',
    async () => {
      await a.page.reload();
      return names();
    },
    (now) => now[2] === before[0],
  );
  // And by dragging, back to the first place.
  await a.$('[data-order][data-ready]').waitFor();
  const grip = await a.$('.grip').nth(2).boundingBox();
  const first = await a.$('[data-group]').first().boundingBox();
  await a.page.mouse.move(grip.x + 8, grip.y + 8);
  await a.page.mouse.down();
  await a.page.mouse.move(grip.x + 8, first.y + 2, { steps: 8 });
  await a.page.mouse.up();
  assert.deepEqual(await names(), before);
  await eventually(
    'the order after dragging',
    async () => {
      await a.page.reload();
      return names();
    },
    (now) => now[0] === before[0],
  );
}

async function withoutScript(fixture) {
  const a = await editor(fixture, 'haru', 'ko', { ...PHONE, javaScriptEnabled: false });
  await openSection(a, '자주 묻는 질문');
  const count = () => a.$('.field-item').count();
  const before = await count();
  await a.$('button[value="add:items"]').click();
  assert.equal(await count(), before + 1);
  await a.$(`#ko-items-${before}-question`).fill('스크립트 없이도 되나요?');
  await a.$(`#ko-items-${before}-answer`).fill('네, 모두 돼요.');
  await a.$(`button[value="up:items.${before}"]`).click();
  assert.equal(await a.$(`#ko-items-${before - 1}-question`).inputValue(), '스크립트 없이도 되나요?');
  await a.$('button[value="remove:items.0"]').click();
  assert.equal(await count(), before);
  await a.$('.page-note button').click();
  assert.equal(await count(), before + 1, 'the removal is taken back');
  await a.$('.editor-head button[value=publish]').click();
  await a.$('#note').fill('질문 하나 더');
  await a.$('.publish .button-primary').click();
  assert.match(await a.$('.page-note').innerText(), /게시했어요/);
  await a.page.goto('/admin/pages/landing');
  await a.$('.switch').nth(4).click();
  await a.$('.switch[aria-pressed=false]').first().waitFor();
  await a.$('.switch[aria-pressed=false]').first().click();
}

async function numbersAndBanners(fixture) {
  const a = await editor(fixture, 'haru', 'ko', PHONE);
  await a.page.goto('/admin/numbers');
  await a.$('.number-name').nth(1).click();
  await a.$('#manual').fill('1,284');
  await a.$('.stacked-form .button-primary').click();
  await a.$('.page-note').waitFor();
  assert.match(await a.$('.page-head .meta').innerText(), /1,284/);
  await a.$('.page-note button').click();

  await a.page.goto('/admin/banners/new');
  await a.$('#text-ko').fill('오늘 밤 두 시간 점검해요.');
  assert.equal(await a.$('#look-ko').innerText(), '오늘 밤 두 시간 점검해요.');
  await a.$('.banner-form .button-primary').click();
  await a.$('.banner-list li', { hasText: '보이는 중' }).waitFor();
  const reader = await fixture.person('ko');
  await eventually(
    'the banner',
    async () => {
      await reader.page.goto('/ko');
      return reader.$('body').innerText();
    },
    (text) => text.includes('두 시간 점검해요'),
  );
  await a.$('.banner-list a').first().click();
  await a.$('.delete-form button').click();
  await a.$('.page-note').waitFor();
}

/** Returns the first element that makes the page wider than the display, or null. */
const tooWide = (page) =>
  page.evaluate(() => {
    if (document.documentElement.scrollWidth <= innerWidth) return null;
    const scrolls = (one) => one.closest('.preview-frames, .scroll') !== null;
    const wide = [...document.querySelectorAll('main *')].find(
      (one) => !scrolls(one) && one.getBoundingClientRect().right > innerWidth,
    );
    return wide?.outerHTML.slice(0, 120) ?? 'unknown';
  });

/** Every page and state, in each look. */
async function axe(fixture) {
  for (const [locale, theme, width] of LOOKS) {
    const where = (name) => `${name} in ${locale}, ${theme}, ${width} px`;
    const a = await editor(fixture, 'haru', locale, { ...AUDITED, viewport: { width, height: 800 } });
    await a.context.addCookies([{ name: 'maju_theme', value: theme, url: fixture.server.url }]);
    for (const page of [
      '/admin/pages/landing',
      '/admin/pages/rules',
      '/admin/pages/landing/add',
      '/admin/numbers',
      '/admin/numbers/online',
      '/admin/banners',
      '/admin/banners/new',
    ]) {
      await a.page.goto(page);
      await a.$('h1').waitFor();
      await audit(a, where(page));
      assert.equal(await tooWide(a.page), null, where(`${page} fits`));
    }
    for (const at of [0, 3, 4, 5]) {
      await a.page.goto('/admin/pages/landing');
      await a.$('.section-name').nth(at).click();
      await a.$('#section-form').waitFor();
      await audit(a, where(path(a)));
      assert.equal(await tooWide(a.page), null, where(`section ${at} fits`));
    }
    await a.$('#ko-title').fill(`${theme} ${width}`);
    await saved(a);
    await a.$('.editor-head button[value=publish]').click();
    await a.$('.publish').waitFor();
    await audit(a, where('publish'));
    await a.page.goto(path(a).replace('/publish', '/unpublish'));
    await audit(a, where('unpublish'));
    await a.context.close();
  }
}
