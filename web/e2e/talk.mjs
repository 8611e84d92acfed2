//! Two people are matched and talk: in two languages, across reloads, with read marks and typing.
import { strict as assert } from 'node:assert';
import { eventually, startTalk, assertSameMessages } from './person.mjs';

export const talkWalks = {
  'two people accept the rules, are matched and talk in both directions'(fixture, interest) {
    return talkBothWays(fixture, interest);
  },
  'the rules are required before the first search only': rules,
  'a reload in the middle of a talk loses nothing': reload,
  'read marks and the typing indicator reach the partner': indicators,
  'a search shows its real state and can be cancelled': search,
};

async function talkBothWays(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  assert.match(await a.$('.greeting p').innerText(), new RegExp(`둘 다 ${interest}에 관심이 있어요`));
  assert.match(await b.$('.greeting p').innerText(), new RegExp(`You both like ${interest}`));
  // A person has the same colour and animal on both pages, in the reader's language.
  assert.match(await a.$('.talk-header h1').innerText(), /^[가-힣]+ [가-힣]+$/);
  assert.match(await b.$('.talk-header h1').innerText(), /^[A-Z][a-z]+ [A-Z][a-z]+$/);
  const story = [
    '안녕하세요! 반가워요 👋',
    'Hi! What are you up to?',
    '비 오는 소리 듣고 있어요.\n두 줄이에요.',
    'Same here, with coffee ☕',
  ];
  for (const [at, text] of story.entries()) {
    const [speaker, listener] = at % 2 === 0 ? [a, b] : [b, a];
    await speaker.field.fill(text);
    await speaker.field.press('Enter');
    await listener.waitForText(text);
  }
  await Promise.all([a.waitForAllSent(4), b.waitForAllSent(4)]);
  assert.deepEqual(await assertSameMessages(a, b), story);
}

async function rules(fixture, interest) {
  const a = await fixture.person('en');
  await a.openLobby(interest);
  await a.$('.submit .button').click();
  await a.$('#agree-missing').waitFor();
  assert.equal(await a.$('.seek').count(), 0);
  await eventually(
    'the focus is on the missing box',
    () => a.page.evaluate(() => document.activeElement?.id),
    (id) => id === 'agree',
  );
  await a.acceptRulesAndStart();
  await a.cancelSearch();
  await a.page.reload();
  await a.$('.submit .button').waitFor();
  await eventually(
    'the acceptance is stored',
    () => a.$('.submit p').last().innerText(),
    (text) => text.includes('saved on this device'),
  );
  assert.equal(await a.$('#agree').count(), 0);
  await a.$('.submit .button').click(); // from now on one press is enough
  await a.$('.seek .elapsed').waitFor();
}

async function reload(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  await a.send('첫 번째');
  await b.waitForText('첫 번째');
  await b.field.fill('a draft that must not be lost');
  const reloaded = b.page.reload({ waitUntil: 'commit' });
  for (let n = 1; n <= 5; n++) await a.send(`돌아오는 동안 ${n}`);
  await reloaded;
  await b.waitForText('돌아오는 동안 5');
  assert.equal(await b.field.inputValue(), 'a draft that must not be lost');
  await b.field.press('Enter');
  await a.waitForText('a draft that must not be lost');
  await Promise.all([a.waitForAllSent(7), b.waitForAllSent(7)]);
  await assertSameMessages(a, b);
  await a.waitForState('open');
}

async function indicators(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  await b.field.pressSequentially('typing…');
  await a.$('.typing').waitFor();
  await b.field.press('Enter');
  await a.waitForText('typing…');
  await a.$('.typing').waitFor({ state: 'detached' });
  // The end is visible to a, so b sees the message as read.
  await eventually(
    'b sees that it was read',
    () => b.$('.message.own .meta').last().innerText(),
    (text) => text.startsWith('Read'),
  );
}

async function search(fixture, interest) {
  const a = await fixture.person('ko');
  await a.openLobby(interest);
  await a.acceptRulesAndStart();
  await eventually(
    'the heading names the interest',
    () => a.$('.seek h1').innerText(),
    (text) => text.includes(interest),
  );
  await eventually(
    'the elapsed time is correct',
    () => a.$('.seek .elapsed b').innerText(),
    (text) => text === '0:01' || text === '0:02',
  );
  await eventually(
    'the heading changes when the search widens',
    () => a.$('.seek h1').innerText(),
    (text) => text.includes('관심사와 상관없이'),
  );
  const [minutes, seconds] = (await a.$('.seek .elapsed b').innerText()).split(':').map(Number);
  assert.ok(minutes * 60 + seconds >= 9, 'not before ten seconds');
  await a.waitForFocus('h1#seeking', 'the heading has the focus, so Enter stops nothing');
  await a.cancelSearch();
  await a.$('.submit .button').waitFor();
  assert.equal(await a.$('.interest').innerText(), interest); // the choices are still there
}
