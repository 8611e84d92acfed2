//! What breaks: the server dies, the network goes. Nothing is lost, doubled, or out of order.
import { strict as assert } from 'node:assert';
import { eventually, meet, sameStory } from './person.mjs';

export const lossWalks = {
  'the server is killed while both write, and both carry on': killed,
  'a reload while the server is away loses no message': reloadWhileAway,
  'offline and back: what was written goes out once': offline,
  'a socket cut after every message loses and doubles nothing': cut,
};

const ROUNDS = 12;
const CUTS = process.env.E2E_GRID === 'full' ? 100 : 25;

async function killed(house, interest) {
  const { server } = house;
  const [a, b] = await meet(house, interest);
  await a.say('before');
  await b.sees('before');
  let written = 0;
  const write = async (person, name) => {
    for (let n = 1; n <= ROUNDS; n++) {
      await person.field.pressSequentially(`${name} ${n}`);
      await person.field.press('Enter');
      written++;
    }
  };
  const writing = Promise.all([write(a, '가'), write(b, 'b')]);
  await eventually(
    'some are on their way',
    async () => written,
    (count) => count >= 5,
  );
  await server.kill();
  await server.up();
  await writing;
  const all = 2 * ROUNDS + 1;
  await Promise.all([a.allSent(all), b.allSent(all)]);
  const story = await sameStory(a, b);
  assert.equal(new Set(story).size, all, 'nothing twice');
  for (const name of ['가', 'b']) {
    assert.deepEqual(
      story.filter((text) => text.startsWith(`${name} `)),
      Array.from({ length: ROUNDS }, (_, at) => `${name} ${at + 1}`),
    );
  }
  await Promise.all([a.stands('open'), b.stands('open')]);
  // And it goes on.
  await b.say('after');
  await a.sees('after');
}

async function reloadWhileAway(house, interest) {
  const { server } = house;
  const [a, b] = await meet(house, interest);
  await a.say('before');
  await b.sees('before');
  await server.kill();
  await a.say('written into the dark 1');
  await a.say('written into the dark 2');
  assert.deepEqual(
    (await a.rows()).map(([, , status]) => status),
    ['sent', 'pending', 'pending'],
  );
  await server.up();
  await a.page.reload();
  await b.sees('written into the dark 2');
  await Promise.all([a.allSent(3), b.allSent(3)]);
  await sameStory(a, b);
}

async function offline(house, interest) {
  const [a, b] = await meet(house, interest);
  await a.say('before');
  await b.sees('before');
  await a.context.setOffline(true);
  await a.$('.connection.offline').waitFor(); // at once
  for (const text of ['offline 1', 'offline 2', 'offline 3']) await a.say(text);
  await b.say('said meanwhile');
  await eventually(
    'they are kept as pending',
    () => a.rows(),
    (rows) =>
      rows.filter(([, , status]) => status === 'pending').length === 3 ||
      rows.every(([, , status]) => status === 'sent'),
  );
  await a.context.setOffline(false);
  await b.sees('offline 3');
  await a.sees('said meanwhile');
  await Promise.all([a.allSent(5), b.allSent(5)]);
  await sameStory(a, b);
  await a.$('.connection.offline').waitFor({ state: 'detached' });
}

async function cut(house, interest) {
  const [a, b] = await meet(house, interest);
  const texts = Array.from({ length: CUTS }, (_, at) => `${at + 1}`);
  // From here on every new socket is known, and so is how to break it: in the middle of whatever it does.
  await a.page.addInitScript(() => {
    const Real = window.WebSocket;
    window.WebSocket = class extends Real {
      constructor(...given) {
        super(...given);
        window.cut = () => this.close();
      }
    };
  });
  await a.page.reload();
  await a.met();
  for (const text of texts) {
    await a.say(text);
    await a.page.evaluate(() => window.cut());
  }
  await Promise.all([a.allSent(CUTS), b.allSent(CUTS)]);
  assert.deepEqual(await sameStory(a, b), texts);
}
