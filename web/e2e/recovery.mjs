//! The server is killed, the network is lost: no message is lost, duplicated or out of order.
import { strict as assert } from 'node:assert';
import { eventually, startTalk, assertSameMessages } from './person.mjs';

export const recoveryWalks = {
  'both people can continue after the server is killed while they write': killed,
  'a reload while the server is down loses no message': reloadWhileDown,
  'messages written offline are sent once after the reconnect': offline,
  'a socket closed after every message loses and duplicates nothing': cut,
};

const ROUNDS = 12;
const CUTS = process.env.E2E_GRID === 'full' ? 100 : 25;

async function killed(fixture, interest) {
  const { server } = fixture;
  const [a, b] = await startTalk(fixture, interest);
  await a.send('before');
  await b.waitForText('before');
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
    'some messages are written',
    async () => written,
    (count) => count >= 5,
  );
  await server.kill();
  await server.up();
  await writing;
  const all = 2 * ROUNDS + 1;
  await Promise.all([a.waitForAllSent(all), b.waitForAllSent(all)]);
  const story = await assertSameMessages(a, b);
  assert.equal(new Set(story).size, all, 'no duplicates');
  for (const name of ['가', 'b']) {
    assert.deepEqual(
      story.filter((text) => text.startsWith(`${name} `)),
      Array.from({ length: ROUNDS }, (_, at) => `${name} ${at + 1}`),
    );
  }
  await Promise.all([a.waitForState('open'), b.waitForState('open')]);
  // The talk continues.
  await b.send('after');
  await a.waitForText('after');
}

async function reloadWhileDown(fixture, interest) {
  const { server } = fixture;
  const [a, b] = await startTalk(fixture, interest);
  await a.send('before');
  await b.waitForText('before');
  await server.kill();
  await a.send('written while the server is down 1');
  await a.send('written while the server is down 2');
  assert.deepEqual(
    (await a.rows()).map(([, , status]) => status),
    ['sent', 'pending', 'pending'],
  );
  await server.up();
  await a.page.reload();
  await b.waitForText('written while the server is down 2');
  await Promise.all([a.waitForAllSent(3), b.waitForAllSent(3)]);
  await assertSameMessages(a, b);
}

async function offline(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  await a.send('before');
  await b.waitForText('before');
  await a.context.setOffline(true);
  await a.$('.connection.offline').waitFor(); // at once
  for (const text of ['offline 1', 'offline 2', 'offline 3']) await a.send(text);
  await b.send('written meanwhile');
  await eventually(
    'the messages are pending',
    () => a.rows(),
    (rows) =>
      rows.filter(([, , status]) => status === 'pending').length === 3 ||
      rows.every(([, , status]) => status === 'sent'),
  );
  await a.context.setOffline(false);
  await b.waitForText('offline 3');
  await a.waitForText('written meanwhile');
  await Promise.all([a.waitForAllSent(5), b.waitForAllSent(5)]);
  await assertSameMessages(a, b);
  await a.$('.connection.offline').waitFor({ state: 'detached' });
}

async function cut(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  const texts = Array.from({ length: CUTS }, (_, at) => `${at + 1}`);
  // From here on the test can close every new socket at any moment.
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
  await a.waitForTalk();
  for (const text of texts) {
    await a.send(text);
    await a.page.evaluate(() => window.cut());
  }
  await Promise.all([a.waitForAllSent(CUTS), b.waitForAllSent(CUTS)]);
  assert.deepEqual(await assertSameMessages(a, b), texts);
}
