//! Takes screenshots of every page: `node e2e/shots.mjs <folder>`. Korean in light, English in
//! dark, phone and desktop.
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { eachState } from './account.mjs';
import { openBrowser, Fixture } from './browser.mjs';
import { Server } from './server.mjs';

const folder = resolve(process.argv[2] ?? 'shots');
mkdirSync(folder, { recursive: true });
const server = await Server.start(folder);
const browser = await openBrowser();

const LOOKS = [
  ['ko', 'light'],
  ['en', 'dark'],
];
const SIZES = [
  [390, 844],
  [1280, 800],
];
const INTERESTS = { ko: ['재즈', '비 오는 날'], en: ['Jazz', 'Rainy days'] };
const STORY = {
  ko: [
    ['them', '안녕하세요! 거긴 지금 비 와요?'],
    ['them', '여긴 하루 종일 내려요. 빌 에반스 틀어 놓고 있어요.'],
    ['me', '오, 저도요. 창문 열어 두고 듣는 중이에요 ☔'],
    ['me', '비 오는 날엔 그만한 게 없죠.'],
    ['them', '맞아요. Peace Piece 들으면 시간이 느려지는 것 같아요.'],
    ['me', '그 곡 처음 들은 게 언제예요? 저는 스무 살 때 버스에서 들었는데, 내릴 곳을 두 정거장이나 지나쳤어요.'],
    ['them', 'ㅋㅋㅋ 그건 내릴 수가 없죠'],
    ['them', '저는 아버지 차에서요. 이런 글이 있어요: https://small-cinemas.example/rain'],
    ['me', '🍿🎬'],
  ],
  en: [
    ['them', 'Hi! Is it raining where you are?'],
    ['them', 'It hasn’t stopped here all day. I’ve put some Bill Evans on.'],
    ['me', 'Same! Window open, record on ☔'],
    ['me', 'Nothing better on a rainy day.'],
    ['them', 'Right? Peace Piece makes the whole afternoon slow down.'],
    ['me', 'When did you first hear it? I was twenty, on a bus, and I missed my stop by two stations.'],
    ['them', 'Ha, nobody could get off during that one'],
    ['them', 'For me it was my dad’s car. Here’s a story: https://small-cinemas.example/rain'],
    ['me', '🍿🎬'],
  ],
};

/** The pages of sign-in and account, each state under its name. */
async function accountScreenshots(locale, theme, width, height) {
  const fixture = new Fixture(browser, server, folder);
  const looks = { viewport: { width, height }, deviceScaleFactor: 2, colorScheme: theme, reducedMotion: 'reduce' };
  const [a, b] = [await fixture.person(locale, looks), await fixture.person(locale, looks)];
  await eachState(a, b, async (where, person = a) => {
    const name = where.replaceAll(/[^a-zA-Z]+/g, '-').replaceAll(/^-|-$/g, '');
    const path = join(folder, `account-${name}-${locale}-${theme}-${width}.png`);
    await person.page.screenshot({ path, fullPage: true });
  });
  await fixture.closeAll();
}

async function screenshots(locale, theme, width, height) {
  const fixture = new Fixture(browser, server, folder);
  const looks = {
    viewport: { width, height },
    deviceScaleFactor: 2,
    colorScheme: theme,
    reducedMotion: 'reduce',
    hasTouch: width < 600,
  };
  const a = await fixture.person(locale, looks);
  const b = await fixture.person(locale);
  const name = (page) => join(folder, `${page}-${locale}-${theme}-${width}.png`);
  const shot = async (page, options = {}) => {
    await a.page.evaluate(() => document.fonts.ready);
    await a.page.screenshot({ path: name(page), ...options });
  };

  await a.page.goto(`/${locale}`);
  await shot('landing', { fullPage: true });
  for (const page of ['rules', 'privacy', 'terms', 'contact']) {
    await a.page.goto(`/${locale}/${page}`);
    await shot(page, { fullPage: true });
  }
  await a.page.goto('/nowhere');
  await shot('not-found');
  await a.openLobby();
  await shot('lobby', { fullPage: true });
  for (const interest of INTERESTS[locale]) await a.addInterest(interest);
  await a.$('.text-link').click();
  await a.$('dialog[open]').waitFor();
  await shot('rules');
  await a.page.keyboard.press('Escape');
  await a.acceptRulesAndStart();
  await a.$('.seek .elapsed').waitFor();
  await shot('looking');
  await a.$('.browse').click();
  await a.$('.seek-strip').waitFor();
  await shot('lobby-searching');
  await a.$('.strip-link').click();
  await a.$('.seek .elapsed').waitFor();
  await b.openLobby();
  for (const interest of INTERESTS[locale]) await b.addInterest(interest);
  const met = a.$('.seek.found').waitFor(); // shown for less than a second
  await b.acceptRulesAndStart();
  await met;
  await shot('met');
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  await shot('talk-new');
  for (const [who, text] of STORY[locale]) {
    await (who === 'me' ? a : b).send(text);
    await (who === 'me' ? b : a).waitForText(text);
  }
  await b.field.pressSequentially('…');
  await a.$('.typing').waitFor();
  await shot('talk');
  await a.$('.web-link').click();
  await shot('talk-leaving');
  await a.page.keyboard.press('Escape');
  await a.$('.leaving-sheet').waitFor({ state: 'detached' });
  await a.$('.talk-header .next-button').click();
  await shot('talk-armed');
  await a.$('.talk-header .icon-button').click();
  await shot('talk-menu');
  await a.page.keyboard.press('Escape');
  await a.press('.talk-header .button-danger', '.dialog');
  await a.$('.radio').first().check();
  await shot('report');
  await a.page.keyboard.press('Escape');
  await a.$('.dialog').waitFor({ state: 'detached' });
  const path = new URL(b.page.url()).pathname;
  await b.page.goto('about:blank');
  await a.waitForState('away');
  await shot('talk-away');
  await b.page.goto(path);
  await a.field.fill(STORY[locale][0][1]);
  await b.leave();
  await a.waitForState('ended');
  await shot('talk-ended');
  await a.$('.talk-header .icon-button').click();
  await a.press('.menu:popover-open .danger', '.undo-strip');
  await shot('talk-blocked');
  await a.page.goto('/chat');
  await a.$('.last-talks li').waitFor();
  await shot('lobby-back', { fullPage: true });
  await fixture.closeAll();
  console.log(`${locale} ${theme} ${width}`);
}

try {
  for (const [locale, theme] of LOOKS) {
    for (const [width, height] of SIZES) {
      await screenshots(locale, theme, width, height);
      await accountScreenshots(locale, theme, width, height);
    }
  }
} finally {
  await browser.close();
  await server.stop();
}
