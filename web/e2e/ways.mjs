//! The ways out of a talk: next, leaving, reporting, blocking, and losing the other side.
import { strict as assert } from 'node:assert';
import { eventually, meet } from './person.mjs';

export const waysWalks = {
  'next arms first, then goes on to somebody else': next,
  'leaving ends the talk for both, and it can be read again': leave,
  'a report takes two actions, ends the talk and hides who reported': report,
  'a block takes two actions, and the two do not meet again': block,
  'a side that vanishes is waited for, and comes back': away,
  'after the end it can still be reported, for a day': reportLater,
};

async function next(house, interest) {
  const [a, b] = await meet(house, interest);
  const before = new URL(a.page.url()).pathname;
  await a.$('.talk-header .next-button').click();
  assert.equal(await a.$('.talk-header .next-button').innerText(), '한 번 더');
  await a.$('.talk-header .next-button:not(.armed)').waitFor(); // two seconds later it is disarmed by itself
  await a.stands('open');
  const c = await house.person('en');
  await c.lobby(interest);
  await c.start();
  await a.$('.talk-header .next-button').click();
  await a.$('.talk-header .next-button.armed').click();
  await b.stands('ended');
  assert.match(await b.$('.end-panel h2').innerText(), /left the chat$/);
  await Promise.all([a.met(), c.met()]);
  await eventually(
    'a new talk',
    async () => new URL(a.page.url()).pathname,
    (path) => path !== before,
  );
  await a.say('새로 만났네요');
  await c.sees('새로 만났네요');
  // The one who was left looks on by itself when asked to.
  await b.$('.end-panel .button-primary').click();
  await b.$('.seek .elapsed').waitFor();
}

async function leave(house, interest) {
  const [a, b] = await meet(house, interest);
  await b.say('one thing to remember');
  await a.sees('one thing to remember');
  await a.$('.talk-header .icon-button').click();
  await a.$('.menu:popover-open button').first().click();
  await Promise.all([a.stands('ended'), b.stands('ended')]);
  assert.equal(await a.$('.end-panel h2').innerText(), '대화를 끝냈어요');
  assert.equal(await a.focused(), 'button.icon-button', 'the focus stays on the button that is still there');
  await a.$('.end-panel .button', { hasText: '처음으로' }).click();
  await a.$('.last-talks li').waitFor();
  await a.$('.last-talks .button').first().click();
  await a.sees('one thing to remember');
  await a.page.reload();
  await a.sees('one thing to remember');
}

async function report(house, interest) {
  const [a, b] = await meet(house, interest);
  for (const text of ['rude 1', 'rude 2', 'rude 3']) await b.say(text);
  await a.sees('rude 3');
  await a.$('.talk-header .button-danger').click(); // the first action
  assert.equal(await a.$('.evidence li').count(), 3);
  assert.equal(await a.$('.report .agree input').isChecked(), true);
  await a.$('.dialog footer .button-danger-filled').click();
  await a.$('#report-missing').waitFor();
  await a.$('.radio').first().check();
  await a.$('.evidence input').first().uncheck();
  await a.$('.report textarea').fill('세 번이나 그랬어요');
  await a.$('.dialog footer .button-danger-filled').click(); // the second
  await a.$('.dialog').waitFor({ state: 'detached' });
  await Promise.all([a.stands('ended'), b.stands('ended')]);
  assert.equal(await a.$('.end-panel h2').innerText(), '신고를 받았어요. 대화를 끝냈고 다시 만나지 않아요.');
  assert.doesNotMatch(await b.$('.end-panel h2').innerText(), /report/i);
  assert.notEqual(await a.focused(), 'nowhere');
}

async function block(house, interest) {
  const [a, b] = await meet(house, interest);
  // Nobody has written yet: silence is no shield.
  await a.$('.menu .danger').waitFor({ state: 'attached' });
  await a.$('.talk-header .icon-button').click();
  await a.$('.menu:popover-open .danger').click();
  await Promise.all([a.stands('ended'), b.stands('ended')]);
  assert.match(await a.$('.end-panel h2').innerText(), /^차단했어요/);
  await Promise.all([a.$('.end-panel .button-primary').click(), b.$('.end-panel .button-primary').click()]);
  await Promise.all([a.$('.seek .elapsed').waitFor(), b.$('.seek .elapsed').waitFor()]);
  // A third person is found at once by one of them, and the other one waits on.
  const c = await house.person('ko');
  await c.lobby(interest);
  await c.start();
  await c.met();
  const talking = (await Promise.all([a, b].map((person) => person.$('.talk').count()))).filter(Boolean);
  assert.equal(talking.length <= 1, true);
}

async function away(house, interest) {
  const [a, b] = await meet(house, interest);
  const path = new URL(b.page.url()).pathname;
  await b.page.goto('about:blank');
  await a.stands('away');
  assert.match(await a.$('.strip').innerText(), /연결이 끊겼어요/);
  const left = await eventually(
    'a countdown',
    () => a.$('.strip b').innerText(),
    (text) => /^\d+초$/.test(text),
  );
  assert.ok(parseInt(left, 10) <= 30);
  await a.say('기다릴게요');
  await b.page.goto(path);
  await a.stands('open');
  await b.sees('기다릴게요');
}

async function reportLater(house, interest) {
  const [a, b] = await meet(house, interest);
  await b.say('something bad');
  await a.sees('something bad');
  await b.$('.talk-header .icon-button').click();
  await b.$('.menu:popover-open button').first().click();
  await a.stands('ended');
  await a.$('.end-panel .button', { hasText: '처음으로' }).click();
  await a.$('.last-talks .button-danger').click();
  await a.$('.radio').nth(2).check();
  await a.$('.dialog footer .button-danger-filled').click();
  await a.$('.dialog').waitFor({ state: 'detached' });
  assert.equal(await a.$('.report').count(), 0);
}
