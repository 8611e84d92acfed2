//! The page with the keyboard alone: the focus is never lost and always visible.
import { strict as assert } from 'node:assert';
import { eventually } from './person.mjs';

export const keyboardWalks = {
  'the keyboard is enough from the lobby to the next talk': walk,
  'a dialog takes the focus and returns it': dialogs,
};

async function walk(fixture, interest) {
  const [a, b] = [await fixture.person('en'), await fixture.person('ko')];
  const { keyboard } = a.page;
  await a.openLobby();
  await keyboard.press('Tab');
  await a.waitForFocus('a.skip-link');
  await a.tabTo('.interests input');
  await keyboard.type(interest);
  await keyboard.press('Enter');
  await a.$('.interest').waitFor();
  await a.tabTo('#agree');
  await keyboard.press('Space');
  await a.tabTo('.submit .button');
  assert.ok(await outlined(a), 'the focus is visible');
  await keyboard.press('Enter');
  await a.$('.seek').waitFor();
  await a.waitForFocus('h1#seeking', 'a second Enter stops nothing');
  await b.openLobby(interest);
  await b.acceptRulesAndStart();
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  await a.waitForFocus('textarea', 'with a mouse and a keyboard one can write at once');
  // A letter typed anywhere moves the focus to the field.
  await a.$('.talk-header h1').focus();
  await keyboard.type('hello from the keyboard');
  await keyboard.press('Enter');
  await b.waitForText('hello from the keyboard');
  await b.send('답장이에요');
  await a.waitForText('답장이에요');
  await keyboard.press('ArrowUp'); // from the empty field to the last own message
  assert.match(await a.page.evaluate(() => document.activeElement.textContent), /hello from the keyboard/);
  await keyboard.press('ArrowDown');
  assert.match(await a.page.evaluate(() => document.activeElement.textContent), /답장이에요/);
  await keyboard.press('Escape');
  await a.waitForFocus(/^textarea/);
  await keyboard.press('Alt+r');
  await a.$('.dialog').waitFor();
  await keyboard.press('Escape');
  await a.$('.dialog').waitFor({ state: 'detached' });
  await a.waitForFocus(/^(?!nowhere$)/);
  // Twice within two seconds. A machine that stood still meanwhile has to begin again.
  await eventually('two presses of Escape end the chat', async () => {
    await keyboard.press('Escape');
    await a.$('.talk-header .next-button.armed').waitFor();
    await keyboard.press('Escape');
    return a
      .$('.seek .elapsed')
      .waitFor({ timeout: 10_000 })
      .then(
        () => true,
        () => false,
      );
  });
  await b.waitForState('ended');
  await a.$('.seek .elapsed').waitFor();
  await eventually(
    'the focus is in the panel',
    () => a.focusedElement(),
    (where) => where !== 'nowhere',
  );
}

async function dialogs(fixture) {
  const a = await fixture.person('en');
  await a.openLobby();
  await a.page.keyboard.press('?');
  await a.$('dialog[open]').waitFor();
  await a.waitForFocus(/^h2/);
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
  await a.waitForFocus('button.text-link');
}

const outlined = (person) =>
  person.page.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
  });
