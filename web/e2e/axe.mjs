//! axe-core finds no violation on any page, in any state, language and theme. E2E_GRID=full tests
//! all widths.
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { startTalk } from './person.mjs';

export const axeWalks = {
  'axe: the landing pages, the pages about the site and the not-found page': landing,
  'axe: the chat without JavaScript': noScript,
  'axe: the lobby, its rules and its dialogs': lobby,
  'axe: a search': seeking,
  'axe: a search that is seen from the lobby, and when nobody is here': quiet,
  'axe: a talk from the first message to the end': talk,
};

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const FULL = process.env.E2E_GRID === 'full';

/** Language, theme, width. The short grid has each language and theme once. */
export const LOOKS = FULL
  ? ['ko', 'en'].flatMap((locale) =>
      ['light', 'dark'].flatMap((theme) => [320, 390, 1280].map((width) => [locale, theme, width])),
    )
  : [
      ['ko', 'light', 1280],
      ['en', 'dark', 390],
    ];

// The page's content security policy would block axe, so it is bypassed in these contexts.
export const AUDITED = { bypassCSP: true, reducedMotion: 'reduce' };

export async function audit(person, where) {
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

/**
 * Audits the present state in every look. Nothing is reloaded, so that the state does not change.
 */
export async function auditInEveryLook(person, where) {
  for (const [locale, theme, width] of LOOKS) {
    await person.page.setViewportSize({ width, height: 800 });
    await person.page.evaluate((name) => (document.documentElement.dataset.theme = name), theme);
    // A dialog can cover the button, but a scripted click still works.
    await person.page.evaluate(
      (tag) => document.documentElement.lang !== tag && document.querySelector(`button[lang=${tag}]`)?.click(),
      locale,
    );
    await person.page.waitForFunction((tag) => document.documentElement.lang === tag, locale);
    // The new theme can need two frames to be painted.
    await person.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await audit(person, `${where} in ${locale}, ${theme}, ${width} px`);
  }
}

const ABOUT = ['rules', 'privacy', 'terms', 'contact'];

async function landing(fixture) {
  for (const [locale, theme, width] of LOOKS) {
    const a = await fixture.person(locale, { ...AUDITED, viewport: { width, height: 800 } });
    await a.context.addCookies([{ name: 'maju_theme', value: theme, url: fixture.server.url }]);
    for (const path of [`/${locale}`, ...ABOUT.map((page) => `/${locale}/${page}`), '/nowhere']) {
      await a.page.goto(path);
      await a.$('h1').first().waitFor();
      await audit(a, `${path} in ${locale}, ${theme}, ${width} px`);
    }
    await a.context.close();
  }
}

/** The chat's page without JavaScript. The audit itself needs it, so the page's own scripts are cut off. */
async function noScript(fixture) {
  for (const [locale, theme, width] of LOOKS) {
    const a = await fixture.person(locale, { ...AUDITED, viewport: { width, height: 800 } });
    await a.context.addCookies([{ name: 'maju_theme', value: theme, url: fixture.server.url }]);
    await a.page.route('**/chat', async (route) => {
      const answer = await route.fetch();
      const html = (await answer.text()).replaceAll(/<\/?noscript>/g, '').replace(/<script.*?<\/script>/g, '');
      await route.fulfill({ response: answer, body: html });
    });
    await a.page.goto('/chat');
    await a.$('.noscript h1').waitFor();
    await audit(a, `/chat without scripts in ${locale}, ${theme}, ${width} px`);
    await a.context.close();
  }
}

async function lobby(fixture) {
  const a = await fixture.person('ko', AUDITED);
  await a.openLobby();
  await auditInEveryLook(a, 'the lobby');
  await a.$('.lobby-form summary').click();
  await auditInEveryLook(a, 'the lobby with its languages unfolded');
  await a.addInterest('재즈');
  await a.$('.interests input').fill('co');
  await a.$('.options li').first().waitFor();
  await auditInEveryLook(a, 'the lobby with suggestions');
  await a.$('.interests input').press('Escape');
  await a.$('.interests input').fill('');
  await a.$('.submit .button').click();
  await a.$('#agree-missing').waitFor();
  await auditInEveryLook(a, 'the lobby that asks for the rules');
  await a.$('.text-link').click();
  await a.$('dialog[open]').waitFor();
  await auditInEveryLook(a, 'the rules');
  await a.page.keyboard.press('Escape');
  await a.$('h1').click();
  await a.page.keyboard.press('?');
  await a.$('dialog[open]').waitFor();
  await auditInEveryLook(a, 'the keys');
}

async function seeking(fixture, interest) {
  const a = await fixture.person('ko', AUDITED);
  await a.openLobby(interest);
  await a.acceptRulesAndStart();
  await auditInEveryLook(a, 'looking');
  await a.$('.art .drifting path:nth-of-type(3)').waitFor({ state: 'attached' });
  await auditInEveryLook(a, 'a widened search');
}

async function quiet(fixture, interest) {
  const a = await fixture.person('ko', AUDITED);
  await a.page.clock.install();
  await a.openLobby(interest);
  await a.acceptRulesAndStart();
  await a.$('.browse').click();
  await a.$('.seek-strip').waitFor();
  await auditInEveryLook(a, 'the lobby during a search');
  await a.$('.strip-link').click();
  await a.passSearch();
  await a.$('.seek .button-primary').waitFor();
  await auditInEveryLook(a, 'a search with nobody here');
  await a.$('.seek .button-primary').click(); // the browser of the test refuses
  await a.$('.art-bell').waitFor({ state: 'attached' });
  await auditInEveryLook(a, 'a search that waits for somebody');
}

async function talk(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest, { a: AUDITED, b: AUDITED });
  await auditInEveryLook(a, 'a talk without messages');
  for (let n = 1; n <= 3; n++) {
    await a.send(`안녕하세요 ${n}`);
    await b.send(`Hello ${n}`);
  }
  await a.waitForText('Hello 3');
  await a.waitForAllSent(6);
  await b.field.pressSequentially('…');
  await a.$('.typing').waitFor();
  await auditInEveryLook(a, 'a talk');
  await a.$('.talk-header .icon-button').click();
  await auditInEveryLook(a, 'the menu of a talk');
  await a.page.keyboard.press('Escape');
  await a.field.fill('가'.repeat(2001));
  await auditInEveryLook(a, 'a message that is too long');
  await a.field.fill('');
  await a.press('.talk-header .button-danger', '.dialog');
  await a.$('.dialog').waitFor();
  await a.$('.dialog footer .button-danger-filled').click();
  await auditInEveryLook(a, 'the report');
  await a.page.keyboard.press('Escape');
  await a.$('.dialog').waitFor({ state: 'detached' });
  await a.page.goBack();
  await a.$('.open-chat').waitFor();
  await b.send('Still there?');
  await a.$('.open-chat .count').waitFor();
  await auditInEveryLook(a, 'the lobby with an open talk');
  await a.$('.open-chat').click();
  await a.waitForText('Still there?');
  await b.page.goto('about:blank');
  await a.waitForState('away');
  await auditInEveryLook(a, 'a talk whose partner is away');
  await a.leave();
  await a.waitForState('ended');
  await auditInEveryLook(a, 'a talk that has ended');
  await a.page.goto('/chat');
  await a.$('.last-talks li').waitFor();
  await auditInEveryLook(a, 'the lobby with last talks');
}
