//! Real compositions of the browser: the first Enter sends Hangul exactly once, and no Enter sends
//! kanji by accident.
import { strict as assert } from 'node:assert';
import { startTalk } from './person.mjs';

export const imeWalks = {
  'Hangul: Enter inside the composition sends exactly one message': hangul,
  'Hangul: five quick messages are five messages': quick,
  'Japanese: the Enter that picks a candidate sends nothing': japanese,
  'the button sends a composition completely': button,
  'on a touch screen Enter makes a line, and the button sends': glass,
};

class Keyboard {
  constructor(session) {
    this.session = session;
  }

  static async of(person) {
    await person.field.focus();
    return new Keyboard(await person.context.newCDPSession(person.page));
  }

  compose(text) {
    return this.session.send('Input.imeSetComposition', {
      text,
      selectionStart: text.length,
      selectionEnd: text.length,
    });
  }

  commit(text) {
    return this.session.send('Input.insertText', { text });
  }

  /** Sends the key as a composing keyboard reports it. */
  async processed() {
    const key = { key: 'Process', code: 'Enter', windowsVirtualKeyCode: 229, nativeVirtualKeyCode: 229 };
    await this.session.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', ...key });
  }

  async enter() {
    const key = { key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13, nativeVirtualKeyCode: 13 };
    await this.session.send('Input.dispatchKeyEvent', { type: 'keyDown', text: '\r', ...key });
    await this.session.send('Input.dispatchKeyEvent', { type: 'keyUp', ...key });
  }

  /** Composes each syllable letter by letter. The next syllable commits it. */
  async write(syllables) {
    for (const [at, steps] of syllables.entries()) {
      for (const step of steps) await this.compose(step);
      if (at < syllables.length - 1) await this.commit(steps.at(-1));
    }
  }

  /**
   * Presses Enter inside the last composition: the key, the end of the composition, and the same
   * key again.
   */
  async enterInside(last) {
    await this.processed();
    await this.commit(last);
    await this.enter();
  }
}

const HELLO = [
  ['ㅇ', '아', '안'],
  ['ㄴ', '녀', '녕'],
  ['ㅎ', '하'],
  ['ㅅ', '세'],
  ['ㅇ', '요'],
];

async function hangul(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  const keys = await Keyboard.of(a);
  await keys.write(HELLO);
  assert.equal(await a.field.inputValue(), '안녕하세요');
  await keys.enterInside('요');
  await b.waitForText('안녕하세요');
  // If the first message had been sent twice or in two parts, the extra one would arrive before
  // this one.
  await a.field.pressSequentially('end'); // with keys, as fast as possible
  await a.field.press('Enter');
  await b.waitForText('end');
  assert.deepEqual(await b.texts(), ['안녕하세요', 'end']);
  assert.equal(await a.field.inputValue(), '');
}

async function quick(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  const keys = await Keyboard.of(a);
  const words = ['네', '좋아요', 'ㅋㅋㅋ', '진짜요', '그래요'];
  for (const word of words) {
    const letters = [...word];
    await keys.write(letters.map((letter) => [letter]));
    await keys.enterInside(letters.at(-1));
    await a.page.waitForFunction(() => document.querySelector('.composer textarea').value === '');
  }
  await b.waitForText('그래요');
  assert.deepEqual(await b.texts(), words);
}

async function japanese(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  const keys = await Keyboard.of(a);
  await keys.compose('かんじ');
  await keys.compose('漢字');
  await keys.processed();
  await keys.commit('漢字');
  assert.equal(await a.field.inputValue(), '漢字');
  await a.field.press('Enter');
  await b.waitForText('漢字');
  assert.deepEqual(await b.texts(), ['漢字']);
}

async function button(fixture, interest) {
  const [a, b] = await startTalk(fixture, interest);
  const keys = await Keyboard.of(a);
  await keys.write([
    ['ㄱ', '고', '곧'],
    ['ㄱ', '가'],
    ['ㅇ', '요'],
  ]);
  await a.$('.send-button').click();
  await b.waitForText('곧가요');
  await a.field.pressSequentially('end'); // with keys, as fast as possible
  await a.field.press('Enter');
  await b.waitForText('end');
  assert.deepEqual(await b.texts(), ['곧가요', 'end']);
}

async function glass(fixture, interest) {
  const phone = { hasTouch: true, isMobile: true, viewport: { width: 390, height: 844 } };
  const [a, b] = await startTalk(fixture, interest, { a: phone });
  await a.field.tap();
  await a.page.keyboard.type('첫 줄');
  await a.page.keyboard.press('Enter');
  await a.page.keyboard.type('둘째 줄');
  assert.equal(await a.field.inputValue(), '첫 줄\n둘째 줄');
  await a.$('.send-button').tap();
  await b.waitForText('첫 줄\n둘째 줄');
  await a.waitForFocus(/^textarea/, 'the on-screen keyboard stays open');
}
