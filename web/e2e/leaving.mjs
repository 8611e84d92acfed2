//! Ending a talk: next, leave, report, block, and a partner who loses the connection.
import { strict as assert } from 'node:assert';
import { eventually, startTalk } from './person.mjs';

export const leavingWalks = {
  'the first press arms Next, the second finds another partner': next,
  'leaving ends the talk for both, and it can still be read': leave,
  'a report takes two actions, ends the talk and hides who reported': report,
  'a block takes two actions, and the two are not matched again': block,
  'a partner who disconnects can come back within the countdown': away,
  'an ended talk can still be reported': reportLater,
};

async function next(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  const before = new URL(a.page.url()).pathname;
  await a.press('.talk-header .next-button', '.talk-header .next-button.armed');
  assert.equal(await a.$('.talk-header .next-button').innerText(), '한 번 더');
  await a.$('.talk-header .next-button:not(.armed)').waitFor(); // after two seconds
  await a.waitForState('open');
  const c = await fixture.person('en');
  await c.openLobby(interest);
  await c.acceptRulesAndStart();
  await a.$('.talk-header .next-button').click();
  await a.$('.talk-header .next-button.armed').click();
  await b.waitForState('ended');
  assert.match(await b.$('.end-panel h2').innerText(), /left the chat$/);
  await Promise.all([a.waitForTalk(), c.waitForTalk()]);
  await eventually(
    'a new talk',
    async () => new URL(a.page.url()).pathname,
    (path) => path !== before,
  );
  await a.send('새로 만났네요');
  await c.waitForText('새로 만났네요');
  // The person who was left can start a new search.
  await b.nextAfterEnd();
  await b.$('.seek .elapsed').waitFor();
}

async function leave(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  await b.send('one thing to remember');
  await a.waitForText('one thing to remember');
  await a.leave();
  await Promise.all([a.waitForState('ended'), b.waitForState('ended')]);
  assert.equal(await a.$('.end-panel h2').innerText(), '대화를 끝냈어요');
  await a.waitForFocus('button.icon-button', 'the focus stays on the button, which still exists');
  await a.lobbyAfterEnd();
  await a.$('.last-talks .button').first().click();
  await a.waitForText('one thing to remember');
  await a.page.reload();
  await a.waitForText('one thing to remember');
}

async function report(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  for (const text of ['rude 1', 'rude 2', 'rude 3']) await b.send(text);
  await a.waitForText('rude 3');
  await a.press('.talk-header .button-danger', '.dialog'); // the first action
  assert.equal(await a.$('.evidence li').count(), 3);
  await a.$('.dialog footer .button-danger-filled').click();
  await a.$('#report-missing').waitFor();
  await a.$('.radio').first().check();
  await a.$('.evidence input').first().uncheck();
  await a.$('.report textarea').fill('세 번이나 그랬어요');
  await a.$('.dialog footer .button-danger-filled').click(); // the second
  await a.$('.dialog').waitFor({ state: 'detached' });
  await Promise.all([a.waitForState('ended'), b.waitForState('ended')]);
  assert.equal(
    await a.$('.end-panel h2').innerText(),
    '신고가 접수됐어요. 대화가 끝났고, 이 사람과 다시 이어지지 않아요.',
  );
  assert.match(await a.$('.end-panel p').innerText(), /따로 보관돼요.*운영자만/, 'what was reported is not deleted');
  assert.match(await b.$('.end-panel h2').innerText(), / left the chat$/, 'as the dialog has promised');
  assert.doesNotMatch(await b.$('.end-panel').innerText(), /moderat|review/i);
  await a.waitForFocus(/^(?!nowhere$)/);
}

async function block(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  // Blocking works before any message was written.
  await a.$('.menu .danger').waitFor({ state: 'attached' });
  await a.block();
  await Promise.all([a.waitForState('ended'), b.waitForState('ended')]);
  assert.match(await a.$('.undo-strip h2').innerText(), /차단했어요$/);
  await Promise.all([a.nextAfterEnd(), b.nextAfterEnd()]);
  await Promise.all([a.$('.seek .elapsed').waitFor(), b.$('.seek .elapsed').waitFor()]);
  // A third person is matched with one of them, and the other one keeps waiting.
  const c = await fixture.person('ko');
  await c.openLobby(interest);
  await c.acceptRulesAndStart();
  await c.waitForTalk();
  const talking = (await Promise.all([a, b].map((person) => person.$('.talk').count()))).filter(Boolean);
  assert.equal(talking.length <= 1, true);
}

async function away(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  const path = new URL(b.page.url()).pathname;
  await b.page.goto('about:blank');
  await a.waitForState('away');
  assert.match(await a.$('.strip').innerText(), /기다려요/);
  const left = await eventually(
    'a countdown',
    () => a.$('.strip b').innerText(),
    (text) => /^\d+초$/.test(text),
  );
  assert.ok(parseInt(left, 10) <= 30);
  await a.send('기다릴게요');
  await b.page.goto(path);
  await a.waitForState('open');
  await b.waitForText('기다릴게요');
}

async function reportLater(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  await b.send('something bad');
  await a.waitForText('something bad');
  await b.leave();
  await a.waitForState('ended');
  await a.page.keyboard.press('Alt+r');
  await a.$('.dialog').waitFor();
  await a.page.keyboard.press('Escape');
  await a.$('.dialog').waitFor({ state: 'detached' });
  await a.lobbyAfterEnd();
  await a.$('.last-talks .button-danger').click();
  await a.$('.radio').nth(2).check();
  await a.$('.dialog footer .button-danger-filled').click();
  await a.$('.dialog').waitFor({ state: 'detached' });
  assert.equal(await a.$('.report').count(), 0);
}
