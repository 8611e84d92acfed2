//! Refusals by the browser or the server: the page shows what was refused and why, and no text is
//! lost.
import { strict as assert } from 'node:assert';
import { auditInEveryLook, AUDITED } from './axe.mjs';
import { eventually, startTalk } from './person.mjs';

export const refusalsWalks = {
  'a browser that blocks cookies sees an explanation and creates no visitor': cookiesBlocked,
  'without stored cookies each attempt creates at most one visitor, and the page continues once they work': cookiesLost,
  'cookies cleared while the page is open create exactly one new visitor': cookiesCleared,
  'a browser that blocks all storage can still chat': storageBlocked,
  'a refused interest is shown at its field and can be corrected': interestRefused,
  'interests with joiners are sent as they are written': joiners,
  'a message that the server refuses returns to the field': messageRefused,
  'a message without visible characters is not sent': invisible,
  'a refused report shows the reason at its field': reportRefused,
  'a refused block is shown and works at the next attempt': blockRefused,
  'the rules are requested where they are missing, and the refused action then continues': ageGate,
  'a person who was reported or blocked sees the same end as one who was left': sameEnd,
};

const PHONE = { viewport: { width: 390, height: 844 } };

/** Counts the requests that can create a visitor. */
function countVisitorRequests(person) {
  const requests = { count: 0 };
  person.page.on('request', (request) => {
    if (request.method() === 'GET' && new URL(request.url()).pathname === '/api/v1/me') requests.count++;
  });
  return requests;
}

async function cookiesBlocked(fixture) {
  const a = await fixture.personWithoutCookies('ko', { ...PHONE, ...AUDITED });
  const made = countVisitorRequests(a);
  await a.page.goto('/chat');
  await a.$('.cookies h1').waitFor();
  assert.equal(await a.$('h1').innerText(), '쿠키가 필요해요');
  assert.equal(await a.$('.connection').count(), 0, 'the page does not say that it reconnects');
  await a.$('.cookies .button-primary').click();
  await a.$('.cookies [role=status]', { hasText: '아직' }).waitFor();
  await a.waitForFocus(/^button/);
  assert.equal(made.count, 0);
  await auditInEveryLook(a, 'a browser that blocks cookies');
}

async function cookiesLost(fixture, interest) {
  const a = await fixture.person('en', PHONE);
  const made = countVisitorRequests(a);
  // The real answer without its cookie, as behind a proxy or an extension that removes it.
  await a.page.route('**/api/v1/me', async (route) => {
    const answer = await fetch(`${fixture.server.url}/api/v1/me`);
    await route.fulfill({ status: answer.status, contentType: 'application/json', body: await answer.text() });
  });
  await a.page.goto('/chat');
  await a.$('.cookies h1').waitFor();
  assert.equal(made.count, 1);
  await a.$('.cookies .button-primary').click();
  await a.$('.cookies [role=status]', { hasText: 'still' }).waitFor();
  assert.equal(made.count, 2, 'one more, because the person tried again');
  await a.page.unroute('**/api/v1/me');
  await a.$('.cookies .button-primary').click();
  await a.$('.submit .button').waitFor();
  await a.waitForFocus('h1');
  await a.addInterest(interest);
  await a.acceptRulesAndStart();
  await a.$('.seek .elapsed').waitFor();
  assert.equal(made.count, 3);
}

async function cookiesCleared(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  await a.send('before');
  await b.waitForText('before');
  const made = countVisitorRequests(a);
  await a.context.clearCookies();
  await a.context.setOffline(true);
  await a.$('.connection.offline').waitFor();
  await a.context.setOffline(false);
  await fixture.server.kill(); // the open socket would otherwise continue without the cookie
  await fixture.server.up();
  await a.waitForState('ended');
  assert.equal(await a.$('.connection').count(), 0);
  assert.equal(made.count, 1);
  assert.equal(await a.$('.cookies').count(), 0);
}

async function storageBlocked(fixture, interest) {
  const forbidden = () => {
    for (const name of ['localStorage', 'sessionStorage', 'indexedDB'])
      Object.defineProperty(window, name, {
        get() {
          throw new DOMException('denied', 'SecurityError');
        },
      });
  };
  const [a, b] = await Promise.all([fixture.person('ko', PHONE), fixture.person('en')]);
  await a.page.addInitScript(forbidden);
  await Promise.all([a.openLobby(interest), b.openLobby(interest)]);
  await Promise.all([a.acceptRulesAndStart(), b.acceptRulesAndStart()]);
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  await a.send('저장소 없이도');
  await b.waitForText('저장소 없이도');
  await b.send('works');
  await a.waitForText('works');
  await a.leave();
  await a.waitForState('ended');
  await a.lobbyAfterEnd();
  await eventually('the last talk can be read', async () => {
    await a.$('.last-talks .button').first().click();
    return (await a.texts()).includes('works') || a.waitForText('works');
  });
}

/**
 * Replaces a text in all frames to the server, so that the server receives what the page itself
 * would not send.
 */
async function replaceInFrames(person, written, sent) {
  const gate = { open: Promise.resolve() };
  await person.page.routeWebSocket('**/ws', (page) => {
    const server = page.connectToServer();
    page.onMessage(async (frame) => {
      await gate.open;
      server.send(String(frame).replaceAll(written, sent));
    });
  });
  return gate;
}

async function interestRefused(fixture, interest) {
  const a = await fixture.person('ko', { ...PHONE, ...AUDITED });
  await a.openLobby();
  // The page's own check: shown at once, and the typed text stays.
  await a.$('.interests input').fill('재즈\u202e');
  await a.$('.interests input').press('Enter');
  await a.$('.interests.invalid').waitFor();
  assert.equal(await a.$('.interests input').inputValue(), '재즈\u202e');
  await a.$('.interests input').fill('');
  // The server's check: an interest that an earlier version of the page has stored.
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
  await a.waitForFocus(/^input/);
  assert.equal(await a.$('.interests input').getAttribute('aria-invalid'), 'true');
  await auditInEveryLook(a, 'a refused interest');
  await a.$('.interest button').first().click();
  assert.equal(await a.$('.field-error').count(), 0);
  await a.$('.submit .button').click();
  await a.$('.seek .elapsed').waitFor();
}

async function joiners(fixture) {
  const a = await fixture.person('ko');
  const asked = [];
  a.page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => asked.push(String(payload))));
  await a.openLobby();
  const interests = ['👩‍💻', '🏳️‍🌈', 'می‌خواهم', 'ක්‍රි'];
  for (const interest of interests) await a.addInterest(interest);
  await a.$('#agree').check();
  await a.$('.submit .button').click();
  const seek = await eventually('a seek', async () => asked.find((frame) => frame.includes('"seek"')));
  assert.deepEqual(JSON.parse(seek).interests, interests);
}

async function messageRefused(fixture, interest) {
  const a = await fixture.person('ko', { ...PHONE, ...AUDITED });
  const b = await fixture.person('en');
  const gate = await replaceInFrames(a, 'REFUSED', '\u202e');
  await Promise.all([a.openLobby(interest), b.openLobby(interest)]);
  await Promise.all([a.acceptRulesAndStart(), b.acceptRulesAndStart()]);
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  await a.send('이 말은 REFUSED');
  await a.$('.counter.invalid').waitFor();
  assert.equal(await a.field.inputValue(), '이 말은 REFUSED');
  assert.deepEqual(await a.rows(), []);
  await auditInEveryLook(a, 'a message that came back');
  // Another text is being written, so the refused message stays in the list.
  let release;
  gate.open = new Promise((go) => (release = go));
  await a.send('둘째 REFUSED');
  await a.field.pressSequentially('쓰던 말');
  release();
  await a.$('.failed').waitFor();
  await auditInEveryLook(a, 'a refused message');
  await a.$('.failed .button').first().click();
  assert.equal(await a.field.inputValue(), '둘째 REFUSED\n쓰던 말');
  await a.waitForFocus('textarea');
  await a.send('이제 됐어요');
  await b.waitForText('이제 됐어요');
  assert.deepEqual(await b.texts(), ['이제 됐어요']);
}

async function invisible(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  for (const text of ['\u200b', '\u3164', '\u2800\u00ad', '\u0301']) {
    await a.field.fill(text);
    await a.field.press('Enter');
    await a.$('.counter.invalid', { hasText: '보이는 글자' }).waitFor();
    assert.equal(await a.field.inputValue(), text);
  }
  await a.send('보여요');
  await b.waitForText('보여요');
  assert.deepEqual(await b.texts(), ['보여요']);
  assert.deepEqual(await a.texts(), ['보여요']);
}

async function reportRefused(fixture, interest) {
  const a = await fixture.person('ko', { ...PHONE, ...AUDITED });
  const b = await fixture.person('en');
  await replaceInFrames(a, 'REFUSED', '\\u0000');
  await Promise.all([a.openLobby(interest), b.openLobby(interest)]);
  await Promise.all([a.acceptRulesAndStart(), b.acceptRulesAndStart()]);
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  await b.send('rude');
  await a.waitForText('rude');
  await a.press('.talk-header .button-danger', '.dialog');
  await a.$('.radio').first().check();
  await a.$('.report textarea').fill('REFUSED');
  await a.$('.dialog footer .button-danger-filled').click();
  await a.$('#report-note').waitFor();
  await a.waitForFocus('textarea');
  await auditInEveryLook(a, 'a report whose note is refused');
  await a.$('.report textarea').fill('무례했어요');
  assert.equal(await a.$('#report-note').count(), 0);
  await a.$('.dialog footer .button-danger-filled').click();
  await a.waitForState('ended');
}

async function blockRefused(fixture, interest) {
  const a = await fixture.person('ko', { ...PHONE, ...AUDITED });
  const b = await fixture.person('en');
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
  await Promise.all([a.openLobby(interest), b.openLobby(interest)]);
  await Promise.all([a.acceptRulesAndStart(), b.acceptRulesAndStart()]);
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  await a.$('.talk-header .icon-button').click();
  await a.press('.menu:popover-open .danger', '.strip[role=alert]');
  await a.waitForState('open');
  await auditInEveryLook(a, 'a block that was refused');
  await a.block();
  await b.waitForState('ended');
  assert.equal(await a.$('.strip').count(), 0);
}

async function ageGate(fixture, interest) {
  // The page assumes that the rules were accepted, but the server has no acceptance.
  const a = await fixture.person('ko', { ...PHONE, ...AUDITED });
  const b = await fixture.person('en');
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
  await Promise.all([a.openLobby(interest), b.openLobby(interest)]);
  assert.equal(await a.$('#agree').count(), 0);
  await a.$('.submit .button').click(); // here the real server refuses
  await a.$('.consent').waitFor();
  await auditInEveryLook(a, 'the age gate');
  await a.$('.dialog footer .button-primary').click();
  await a.$('#consent-missing').waitFor();
  await auditInEveryLook(a, 'the age gate with the box not ticked');
  await acceptRules(a);
  await a.$('.seek .elapsed').waitFor();
  await b.acceptRulesAndStart();
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);

  send = 'send'; // as after the rules have changed
  await a.send('규칙을 확인하고 갈 말');
  await a.$('.consent').waitFor();
  assert.deepEqual(
    (await a.rows()).map(([, , status]) => status),
    ['pending'],
  );
  await acceptRules(a);
  await b.waitForText('규칙을 확인하고 갈 말');

  send = 'send';
  await a.send('나중에 보낼 말');
  await a.$('.consent').waitFor();
  await a.page.keyboard.press('Escape');
  await a.$('.failed .reason').waitFor();
  await a.$('.failed .button').first().click();
  await b.waitForText('나중에 보낼 말');
  assert.equal(gated, 2);
  assert.equal(await a.$('.connection').count(), 0);
}

async function acceptRules(person) {
  await person.$('.consent .checkbox').check();
  await person.$('.dialog footer .button-primary').click();
  await person.$('.dialog').waitFor({ state: 'detached' });
}

/** Compares everything that the page shows of an ended talk, except the names and the time. */
async function sameEnd(fixture, interest) {
  const ways = {
    leave: async (a) => {
      await a.leave();
    },
    block: (a) => a.block(),
    report: async (a) => {
      await a.press('.talk-header .button-danger', '.dialog');
      await a.$('.radio').first().check();
      await a.$('.dialog footer .button-danger-filled').click();
      await a.$('.dialog').waitFor({ state: 'detached' });
    },
  };
  const seen = {};
  for (const [way, end] of Object.entries(ways)) {
    const [a, b] = await startTalk(fixture, interest);
    await b.send('hi');
    await a.waitForText('hi');
    const name = await b.$('.talk-header h1').innerText();
    const own = await b.$('.about .names bdi').first().innerText();
    await end(a);
    await Promise.all([a.waitForState('ended'), b.waitForState('ended')]);
    const words = async () => {
      const heard = await b.$('[data-announcer]').innerText();
      assert.doesNotMatch(heard, /left|report|block/i, 'the heading says it');
      const text = await b.page.evaluate(() => `${document.title}\n${document.body.innerText}`);
      return text
        .replace(heard, '')
        .replaceAll(name, 'THEM')
        .replaceAll(own, 'ME')
        .replace(/\d+:\d+\s*[AP]M/g, 'TIME');
    };
    // The heading has taken the focus of the field, so a screen reader hears the sentence from it and
    // not from an announcement as well.
    await b.$('.end-panel h2:focus', { hasText: 'left the chat' }).waitFor();
    const ended = (await words()).replace(/Read ·|Sent ·/g, '');
    await b.lobbyAfterEnd();
    await b.$('.last-talks .button').first().click();
    await b.waitForText('hi');
    seen[way] = [ended, (await words()).replace(/Read ·|Sent ·/g, '')];
    await fixture.closeAll();
  }
  assert.match(seen.leave[0], /left the chat/);
  assert.deepEqual(seen.block, seen.leave);
  assert.deepEqual(seen.report, seen.leave);
}
