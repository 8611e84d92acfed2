//! Everything with the keyboard alone: the focus is always somewhere, and can be seen there.
import { strict as assert } from 'node:assert';
import { eventually } from './person.mjs';

export const keyboardWalks = {
  'from the lobby to the next person without a mouse': walk,
  'dialogs take the focus and give it back': dialogs,
};

async function walk(house, interest) {
  const [a, b] = [await house.person('en'), await house.person('ko')];
  const { keyboard } = a.page;
  await a.lobby();
  await keyboard.press('Tab');
  assert.equal(await a.focused(), 'a.skip-link');
  await a.tabTo('.interests input');
  await keyboard.type(interest);
  await keyboard.press('Enter');
  await a.$('.interest').waitFor();
  await a.tabTo('#agree');
  await keyboard.press('Space');
  await a.tabTo('.submit .button');
  assert.ok(await outlined(a), 'the focus can be seen');
  await keyboard.press('Enter');
  await a.$('.seek').waitFor();
  assert.equal(await a.focused(), 'button.button');
  await b.lobby(interest);
  await b.start();
  await Promise.all([a.met(), b.met()]);
  assert.equal(await a.focused(), 'h1', 'the new heading is read first');
  // Whoever starts to write is in the field.
  await keyboard.type('hello from the keyboard');
  await keyboard.press('Enter');
  await b.sees('hello from the keyboard');
  await b.say('답장이에요');
  await a.sees('답장이에요');
  await keyboard.press('ArrowUp'); // from the empty field to the last own message
  assert.match(await a.page.evaluate(() => document.activeElement.textContent), /hello from the keyboard/);
  await keyboard.press('ArrowDown');
  assert.match(await a.page.evaluate(() => document.activeElement.textContent), /답장이에요/);
  await keyboard.press('Escape');
  assert.match(await a.focused(), /^textarea/);
  await keyboard.press('Alt+r');
  await a.$('.dialog').waitFor();
  await keyboard.press('Escape');
  await a.$('.dialog').waitFor({ state: 'detached' });
  assert.notEqual(await a.focused(), 'nowhere');
  await keyboard.press('Escape');
  await a.$('.talk-header .next-button.armed').waitFor();
  await keyboard.press('Escape');
  await b.stands('ended');
  await a.$('.seek .elapsed').waitFor();
  await eventually(
    'the focus is in the panel',
    () => a.focused(),
    (where) => where !== 'nowhere',
  );
}

async function dialogs(house) {
  const a = await house.person('en');
  await a.lobby();
  await a.page.keyboard.press('?');
  await a.$('dialog[open]').waitFor();
  assert.match(await a.focused(), /^h2/);
  await a.page.keyboard.press('Escape');
  await a.$('dialog').waitFor({ state: 'detached' });
  await a.$('.text-link').focus();
  await a.page.keyboard.press('Enter');
  await a.$('dialog[open]').waitFor();
  for (let presses = 0; presses < 6; presses++) {
    await a.page.keyboard.press('Tab');
    const inside = await a.page.evaluate(
      () =>
        document.activeElement === document.body ||
        document.querySelector('dialog[open]').contains(document.activeElement),
    );
    assert.ok(inside, 'Tab stays in the dialog');
  }
  await a.page.keyboard.press('Escape');
  await a.$('dialog').waitFor({ state: 'detached' });
  assert.equal(await a.page.evaluate(() => document.activeElement.className), 'textlink');
}

const outlined = (person) =>
  person.page.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
  });
