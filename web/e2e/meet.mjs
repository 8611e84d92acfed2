//! Two strangers meet and talk: in two languages, over reloads, with read marks and typing.
import { strict as assert } from 'node:assert';
import { eventually, meet, sameStory } from './person.mjs';

export const meetWalks = {
  'two people pass the gate, meet and talk both ways'(house, interest) {
    return talkBothWays(house, interest);
  },
  'the gate stands before the first search, and only there': gate,
  'one reloads in the middle and misses nothing': reload,
  'read marks and typing reach the other side': signs,
  'searching is honest, and can be stopped': search,
};

async function talkBothWays(house, interest) {
  const [a, b] = await meet(house, interest);
  assert.match(await a.$('.greeting p').innerText(), new RegExp(`둘 다 ${interest}에 관심이 있어요`));
  assert.match(await b.$('.greeting p').innerText(), new RegExp(`You both like ${interest}`));
  // The same person has the same colour and animal on both pages, in the reader's words.
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
    await listener.sees(text);
  }
  await Promise.all([a.allSent(4), b.allSent(4)]);
  assert.deepEqual(await sameStory(a, b), story);
}

async function gate(house, interest) {
  const a = await house.person('en');
  await a.lobby(interest);
  await a.$('.submit .button').click();
  await a.$('#agree-missing').waitFor();
  assert.equal(await a.$('.seek').count(), 0);
  await eventually(
    'the focus is on what is missing',
    () => a.page.evaluate(() => document.activeElement?.id),
    (id) => id === 'agree',
  );
  await a.start();
  await a.$('.seek .actions .button').last().click();
  await a.page.reload();
  await a.$('.submit .button').waitFor();
  await eventually(
    'the rules are accepted for good',
    () => a.$('.submit p').last().innerText(),
    (text) => text.includes('kept on this device'),
  );
  assert.equal(await a.$('#agree').count(), 0);
  await a.$('.submit .button').click(); // one press from now on
  await a.$('.seek .elapsed').waitFor();
}

async function reload(house, interest) {
  const [a, b] = await meet(house, interest);
  await a.say('첫 번째');
  await b.sees('첫 번째');
  await b.field.fill('a draft that must not be lost');
  const reloaded = b.page.reload({ waitUntil: 'commit' });
  for (let n = 1; n <= 5; n++) await a.say(`돌아오는 동안 ${n}`);
  await reloaded;
  await b.sees('돌아오는 동안 5');
  assert.equal(await b.field.inputValue(), 'a draft that must not be lost');
  await b.field.press('Enter');
  await a.sees('a draft that must not be lost');
  await Promise.all([a.allSent(7), b.allSent(7)]);
  await sameStory(a, b);
  await a.stands('open');
}

async function signs(house, interest) {
  const [a, b] = await meet(house, interest);
  await b.field.pressSequentially('typing…');
  await a.$('.typing').waitFor();
  await b.field.press('Enter');
  await a.sees('typing…');
  await a.$('.typing').waitFor({ state: 'detached' });
  // Read by a, who has the end in sight: told to b.
  await eventually(
    'b is told that it was read',
    () => b.$('.message.own .meta').last().innerText(),
    (text) => text.startsWith('Read'),
  );
}

async function search(house, interest) {
  const a = await house.person('ko');
  await a.lobby(interest);
  await a.start();
  await eventually(
    'what is looked for',
    () => a.$('.seek h1').innerText(),
    (text) => text.includes(interest),
  );
  assert.equal(await a.focused(), 'button.button', 'Cancel has the focus');
  await eventually(
    'the time is real',
    () => a.$('.seek .elapsed b').innerText(),
    (text) => text === '0:01' || text === '0:02',
  );
  await eventually(
    'the widening is told when it happens',
    () => a.$('.seek h1').innerText(),
    (text) => text.includes('관심사와 상관없이'),
  );
  const [minutes, seconds] = (await a.$('.seek .elapsed b').innerText()).split(':').map(Number);
  assert.ok(minutes * 60 + seconds >= 9, 'not before ten seconds');
  await a.$('.seek .actions .button').last().click();
  await a.$('.submit .button').waitFor();
  assert.equal(await a.$('.interest').innerText(), interest); // what was chosen is still there
}
