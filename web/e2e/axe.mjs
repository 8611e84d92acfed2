//! axe-core finds nothing: on every page and in every state, in both languages and themes. E2E_GRID=full adds the widths.
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { meet } from './person.mjs';

export const axeWalks = {
  'axe: the landing pages and the page for what is not there': landing,
  'axe: the lobby, its gate and its dialogs': lobby,
  'axe: looking for somebody': seeking,
  'axe: a talk, from the first word to the end': talk,
};

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const FULL = process.env.E2E_GRID === 'full';

/** Language, theme, width. The short grid has each of them at least once in every state. */
const LOOKS = FULL
  ? ['ko', 'en'].flatMap((locale) =>
      ['light', 'dark'].flatMap((theme) => [320, 390, 1280].map((width) => [locale, theme, width])),
    )
  : [
      ['ko', 'light', 1280],
      ['en', 'dark', 390],
    ];

// The page's own policy would refuse the tester's script: only here it is put aside.
export const TESTED = { bypassCSP: true, reducedMotion: 'reduce' };

async function audit(person, where) {
  await person.page.evaluate(AXE);
  const found = await person.page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ['violations'] });
    return violations.map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map((node) => `${node.target.join(' ')} (${node.any[0]?.message ?? node.all[0]?.message ?? ''})`).join(', ')}`,
    );
  });
  assert.deepEqual(found, [], where);
}

/** The state as it stands, in every look: nothing is reloaded, so that it stays what it is. */
export async function inEveryLook(person, where) {
  for (const [locale, theme, width] of LOOKS) {
    await person.page.setViewportSize({ width, height: 800 });
    await person.page.evaluate((name) => (document.documentElement.dataset.theme = name), theme);
    // The button may lie under a dialog just now; it works all the same.
    await person.page.evaluate(
      (tag) => document.documentElement.lang !== tag && document.querySelector(`button[lang=${tag}]`)?.click(),
      locale,
    );
    await person.page.waitForFunction((tag) => document.documentElement.lang === tag, locale);
    // Colours may be on their way to the other theme for two frames.
    await person.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await audit(person, `${where} in ${locale}, ${theme}, ${width} px`);
  }
}

async function landing(house) {
  for (const [locale, theme, width] of LOOKS) {
    const a = await house.person(locale, { ...TESTED, viewport: { width, height: 800 } });
    await a.context.addCookies([{ name: 'maju_theme', value: theme, url: house.server.url }]);
    for (const path of [locale === 'ko' ? '/ko' : '/', '/nowhere']) {
      await a.page.goto(path);
      await a.$('h1').first().waitFor();
      await audit(a, `${path} in ${locale}, ${theme}, ${width} px`);
    }
    await a.context.close();
  }
}

async function lobby(house) {
  const a = await house.person('ko', TESTED);
  await a.lobby();
  await inEveryLook(a, 'the lobby');
  await a.interest('재즈');
  await a.$('.interests input').fill('co');
  await a.$('.options li').first().waitFor();
  await inEveryLook(a, 'the lobby with suggestions');
  await a.$('.interests input').press('Escape');
  await a.$('.interests input').fill('');
  await a.$('.submit .button').click();
  await a.$('#agree-missing').waitFor();
  await inEveryLook(a, 'the lobby that asks for the rules');
  await a.$('.text-link').click();
  await a.$('dialog[open]').waitFor();
  await inEveryLook(a, 'the rules');
  await a.page.keyboard.press('Escape');
  await a.$('h1').click();
  await a.page.keyboard.press('?');
  await a.$('dialog[open]').waitFor();
  await inEveryLook(a, 'the keys');
}

async function seeking(house, interest) {
  const a = await house.person('ko', TESTED);
  await a.lobby(interest);
  await a.start();
  await inEveryLook(a, 'looking');
  await a.$('.art .drifting path:nth-of-type(3)').waitFor({ state: 'attached' });
  await inEveryLook(a, 'looking beyond');
}

async function talk(house, interest) {
  const [a, b] = await meet(house, interest, { a: TESTED, b: TESTED });
  await inEveryLook(a, 'a talk without a word');
  for (let n = 1; n <= 3; n++) {
    await a.say(`안녕하세요 ${n}`);
    await b.say(`Hello ${n}`);
  }
  await a.sees('Hello 3');
  await a.allSent(6);
  await b.field.pressSequentially('…');
  await a.$('.typing').waitFor();
  await inEveryLook(a, 'a talk');
  await a.$('.talk-header .icon-button').click();
  await inEveryLook(a, 'the menu of a talk');
  await a.page.keyboard.press('Escape');
  await a.field.fill('가'.repeat(2001));
  await inEveryLook(a, 'a message that is too long');
  await a.field.fill('');
  await a.$('.talk-header .button-danger').click();
  await a.$('.dialog').waitFor();
  await a.$('.dialog footer .button-danger-filled').click();
  await inEveryLook(a, 'the report');
  await a.page.keyboard.press('Escape');
  await a.$('.dialog').waitFor({ state: 'detached' });
  await b.page.goto('about:blank');
  await a.stands('away');
  await inEveryLook(a, 'a talk whose other side is away');
  await a.$('.talk-header .icon-button').click();
  await a.$('.menu:popover-open button').first().click();
  await a.stands('ended');
  await inEveryLook(a, 'a talk that has ended');
  await a.page.goto('/chat');
  await a.$('.last-talks li').waitFor();
  await inEveryLook(a, 'the lobby with last talks');
}
