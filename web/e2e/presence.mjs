//! A network that is lost silently: both pages show it soon, and both learn how the talk ended.
import { strict as assert } from 'node:assert';
import { eventually, startTalk } from './person.mjs';
import { Proxy } from './proxy.mjs';

export const presenceWalks = {
  'a silently lost network shows on both pages, and the talk goes on when it is back': lostAndBack,
};
// A drill: it takes a minute.
if (process.env.E2E_GRID === 'full')
  presenceWalks['a talk ends as lost on both pages if the network does not come back'] = lostForGood;

const PHONE = { viewport: { width: 390, height: 780 }, colorScheme: 'light' };

async function startTalkOverProxy(fixture, interest) {
  const proxy = await Proxy.start(fixture.server.port);
  const [a, b] = await startTalk(fixture, interest, { a: PHONE, b: { ...PHONE, ...proxy.options } });
  await b.send('here');
  await a.waitForText('here');
  return { proxy, a, b };
}

/** Waits until `a` sees that `b` is away. Returns how many seconds that took. */
async function secondsUntilAway(a, stalledAt) {
  await a.$('.talk[data-state=away]').waitFor({ timeout: 40_000 });
  return (Date.now() - stalledAt) / 1000;
}

async function lostAndBack(fixture, interest) {
  const { proxy, a, b } = await startTalkOverProxy(fixture, interest);
  try {
    proxy.stall();
    const stalledAt = Date.now();
    await a.send('보냈어요');
    await b.$('.connection:not(.back)').waitFor({ timeout: 16_000 });
    assert.ok(Date.now() - stalledAt < 16_000, 'the lost side notices it first');
    const seconds = await secondsUntilAway(a, stalledAt);
    assert.ok(seconds > 18 && seconds < 26, `away after ${seconds} s`);
    const left = await eventually(
      'a countdown',
      () => a.$('.strip b').innerText(),
      (text) => /^\d+초$/.test(text),
    );
    assert.ok(parseInt(left, 10) > 20, left);
    await b.send('still here?');
    proxy.resume();
    // The attempt that hangs, and at most five seconds of backoff.
    await a.$('.talk[data-state=open]').waitFor({ timeout: 15_000 });
    await Promise.all([a.waitForText('still here?'), b.waitForText('보냈어요')]);
    await b.waitForState('open');
  } finally {
    await proxy.close();
  }
}

async function lostForGood(fixture, interest) {
  const { proxy, a, b } = await startTalkOverProxy(fixture, interest);
  try {
    proxy.stall();
    const seconds = await secondsUntilAway(a, Date.now());
    assert.ok(seconds < 26, `away after ${seconds} s`);
    await a.$('.talk[data-state=ended]').waitFor({ timeout: 40_000 });
    const reason = await a.$('.end-panel h2').innerText();
    assert.match(reason, /돌아오지 않아/);
    assert.doesNotMatch(reason, /나갔어요/);
    assert.equal(await b.state(), 'open', 'it cannot know yet');
    proxy.resume();
    await b.waitForState('ended');
    const own = await b.$('.end-panel h2').innerText();
    assert.match(own, /come back/);
    assert.doesNotMatch(own, /left/);
  } finally {
    await proxy.close();
  }
}
