//! The pages beside the chat: languages and their addresses, the pages about the site, not found, no
//! JavaScript.
import { strict as assert } from 'node:assert';

export const sitePagesWalks = {
  'a reader gets each page in their language and can change it': languages,
  'the rules, privacy, terms and contact pages are one tap from every page': about,
  'an address that is wrong shows a page, with the way back': notFound,
  'the chat without JavaScript says what it needs, in both languages': noScript,
};

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true };
const lang = (person) => person.page.evaluate(() => document.documentElement.lang);
const path = (person) => new URL(person.page.url()).pathname;
const overflow = (person) =>
  person.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function languages(fixture) {
  const a = await fixture.person('ko', PHONE);
  await a.page.goto('/');
  assert.deepEqual([path(a), await lang(a)], ['/', 'ko']);
  await a.$('.site-header a[hreflang=en]').click();
  await a.page.waitForURL('**/en');
  assert.equal(await lang(a), 'en');
  // The choice is remembered where the address has no language.
  await a.page.goto('/');
  assert.equal(await lang(a), 'en');
  await a.page.goto('/privacy');
  assert.deepEqual([path(a), await lang(a)], ['/en/privacy', 'en']);
  await a.$('.site-header a[hreflang=ko]').click();
  await a.page.waitForURL('**/ko/privacy');
  assert.equal(await lang(a), 'ko');
  await a.$('.brand').first().click();
  await a.page.waitForURL('**/ko');
  // Who reads the English page chats in English, although the browser prefers Korean.
  await a.context.clearCookies();
  await a.page.goto('/en');
  await a.$('.site-header a[href="/chat"]').click();
  await a.$('.submit .button').waitFor();
  assert.equal(await lang(a), 'en');
}

async function about(fixture) {
  const a = await fixture.person('ko', PHONE);
  await a.openLobby();
  const pages = { privacy: '개인정보', terms: '이용 약관', contact: '문의' };
  for (const [name, title] of Object.entries(pages)) {
    await a.page.goto('/chat');
    await a.$(`.site-footer a[href="/ko/${name}"]`).click();
    await a.page.waitForURL(`**/ko/${name}`);
    assert.equal(await a.$('h1').innerText(), title);
  }
  await a.page.goto('/ko');
  await a.$('.site-footer a[href="/ko/rules"]').click();
  assert.equal(await a.$('h1').innerText(), '이용 규칙');
  assert.equal(await a.$('nav.tile a[aria-current=page]').innerText(), '이용 규칙');
  await a.$('nav.tile a', { hasText: '문의' }).click();
  await a.page.waitForURL('**/ko/contact');
  assert.match(await a.$('.operator').innerText(), /운영자가 아직 연락처를 적지 않았어요/);
  for (const width of [320, 390, 1280]) {
    await a.page.setViewportSize({ width, height: 800 });
    for (const name of ['rules', 'privacy', 'terms', 'contact']) {
      for (const locale of ['ko', 'en']) {
        await a.page.goto(`/${locale}/${name}`);
        assert.equal(await overflow(a), 0, `${locale} ${name} at ${width} px`);
        const small = await a.page.$$eval('a:not(.skip-link)', (links) =>
          links.filter((link) => link.getBoundingClientRect().height < 43.9).map((link) => link.textContent),
        );
        assert.deepEqual(small, [], `targets of ${locale} ${name} at ${width} px`);
      }
    }
  }
}

async function notFound(fixture) {
  const a = await fixture.person('ko', PHONE);
  for (const address of ['/nowhere', '/admin/nowhere', '/ko/nowhere', '/assets/nowhere.js']) {
    const answer = await a.page.goto(address);
    assert.equal(answer.status(), 404, address);
    assert.equal(await a.$('h1').innerText(), '여기에는 아무도 없어요.', address);
  }
  await a.$('.actions .button').click();
  await a.page.waitForURL('**/ko');
}

async function noScript(fixture) {
  const a = await fixture.person('ko', { ...PHONE, javaScriptEnabled: false });
  await a.page.goto('/chat');
  assert.equal(await a.$('.noscript h1').innerText(), '대화하려면 자바스크립트가 필요해요.');
  assert.equal(await a.$('.noscript h2').innerText(), 'Chatting needs JavaScript.');
  // The page has the site's own look.
  const tile = await a.$('.noscript .tile-filled').boundingBox();
  assert.ok(tile.height > 300 && tile.x >= 12, JSON.stringify(tile));
  for (const width of [320, 1280]) {
    await a.page.setViewportSize({ width, height: 800 });
    const wide = await a.$('html').evaluate((root) => root.scrollWidth - root.clientWidth);
    assert.equal(wide, 0, `${width} px`);
  }
  await a.$('.noscript [lang=ko] a[href="/ko/privacy"]').click();
  await a.page.waitForURL('**/ko/privacy');
  assert.equal(await a.$('h1').innerText(), '개인정보');
  // With JavaScript nothing of it is ever on the page.
  const b = await fixture.person('ko', PHONE);
  await b.openLobby();
  assert.equal(await b.$('.noscript').count(), 0);
}
