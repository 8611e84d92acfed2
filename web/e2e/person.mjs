//! The actions of a person on the page, and what the page shows. Nothing waits for a fixed time,
//! only for the page.
import { strict as assert } from 'node:assert';

/**
 * Calls `ask` again and again until `holds` returns `true` for its result, and returns it. The
 * error has the last result.
 */
export async function eventually(what, ask, holds = Boolean, limitMs = 20_000) {
  const until = Date.now() + limitMs;
  let last;
  for (;;) {
    last = await ask();
    if (holds(last)) return last;
    if (Date.now() > until) throw new Error(`${what}: still ${JSON.stringify(last)} after ${limitMs / 1000} s`);
    await new Promise((go) => setTimeout(go, 25));
  }
}

/**
 * Messages that the browser itself logs when there is no network. They are not errors of the page.
 */
const NETWORK = /Failed to load resource|WebSocket connection to|net::ERR_|ERR_INTERNET_DISCONNECTED/;

export class Person {
  pageErrors = [];

  constructor(context, page, locale, touch = false) {
    Object.assign(this, { context, page, locale, touch });
    page.setDefaultTimeout(20_000);
    page.on('pageerror', (error) => this.pageErrors.push(`${locale}: ${error.message}`));
    page.on('console', (line) => {
      if (line.type() === 'error' && !NETWORK.test(line.text())) this.pageErrors.push(`${locale}: ${line.text()}`);
    });
  }

  $(selector, options) {
    return this.page.locator(selector, options);
  }

  async openLobby(interest) {
    await this.page.goto('/chat');
    await this.$('.submit .button').waitFor();
    // The form shows the rules only after the server has answered.
    await this.page.waitForFunction(
      () =>
        document.querySelector('#agree') !== null || document.querySelector('.submit p:last-child')?.textContent !== '',
    );
    // Everybody selects English as well, so that people of both page languages are matched.
    await this.setLanguage('en');
    if (interest) await this.addInterest(interest);
  }

  /** Unfolds the languages, selects one, and folds them again. */
  async setLanguage(tag) {
    if (await this.$(`.choice[lang=${tag}] input`).isChecked()) return;
    await this.$('.lobby-form summary').click();
    await this.$(`.choice[lang=${tag}] input`).check();
    await this.$('.lobby-form summary').click();
  }

  async addInterest(interest) {
    await this.$('.interests input').fill(interest);
    await this.$('.interests input').press('Enter');
    await this.$('.interest', { hasText: interest }).first().waitFor();
  }

  /** Ticks the rules and starts the first search. */
  async acceptRulesAndStart() {
    await this.$('#agree').check();
    await this.$('.submit .button').click();
    await this.waitForSearch();
  }

  async waitForSearch() {
    await this.$('.seek, .talk').first().waitFor();
  }

  /**
   * Lets the clock of the page pass until a search finds it quiet. In two steps, so that the socket
   * does not take the jump for a silent connection. The clock must be installed.
   */
  async passSearch() {
    // The server has answered: the sentence below the heading is there.
    await this.$('.seek .reason', { hasText: /\S/ }).waitFor();
    await this.page.clock.fastForward(13_000);
    await this.page.clock.fastForward(13_000);
  }

  /** Stops a search, if there is one. The button ignores presses for a moment after it appeared. */
  async cancelSearch() {
    const stop = this.$('.seeking .actions .button, .seek-strip .strip-stop').last();
    await eventually(
      'the search has ended',
      async () => {
        if (await stop.isVisible()) await stop.click({ timeout: 1_000 }).catch(() => undefined);
        return stop.isVisible();
      },
      (searching) => !searching,
      3_000,
    );
  }

  async waitForTalk() {
    await this.$('.talk[data-state] textarea').waitFor();
    return new URL(this.page.url()).pathname;
  }

  state() {
    return this.$('.talk').getAttribute('data-state');
  }

  async waitForState(state) {
    await this.$(`.talk[data-state=${state}]`).waitFor();
  }

  get field() {
    return this.$('.composer textarea');
  }

  async send(text) {
    await this.field.fill(text);
    // On a touch screen Enter makes a new line, and the button sends.
    if (this.touch) await this.$('.send-button').click();
    else await this.field.press('Enter');
  }

  /**
   * Presses a button until `done` is on the page. A protected button ignores presses for a moment
   * after a change of the screen, as it would those of an impatient person.
   */
  async press(selector, done) {
    await eventually(`${selector} leads to ${done}`, async () => {
      if ((await this.$(done).count()) > 0) return true;
      await this.$(selector)
        .click({ timeout: 1_000 })
        .catch(() => undefined);
      return (await this.$(done).count()) > 0;
    });
  }

  /** Chooses an action of the talk's menu that ends the talk. */
  async #chooseEnd(selector) {
    await this.$('.talk-header .icon-button').click();
    await this.press(`.menu:popover-open ${selector}`, '.talk[data-state=ended]');
  }

  leave() {
    return this.#chooseEnd('button:first-child');
  }

  block() {
    return this.#chooseEnd('.danger');
  }

  /** Starts the next search from the panel after the end. */
  nextAfterEnd() {
    return this.press('.end-panel .button-primary', '.seek');
  }

  lobbyAfterEnd() {
    return this.press('.end-panel .lobby-button', '.last-talks li');
  }

  /** Returns all messages in their order: `[who, text, status]`. */
  rows() {
    return this.page.$$eval('[data-row]', (rows) =>
      rows.map((row) => [
        row.classList.contains('own') ? 'me' : 'them',
        row.querySelector('.bubble > .text').textContent.trim(),
        row.dataset.status,
      ]),
    );
  }

  async texts() {
    return (await this.rows()).map(([, text]) => text);
  }

  waitForText(text) {
    return eventually(
      `${this.locale} sees "${text}"`,
      () => this.texts(),
      (texts) => texts.includes(text),
    );
  }

  async waitForAllSent(count) {
    await eventually(
      `${this.locale} has ${count} messages, all sent`,
      () => this.rows(),
      (rows) => rows.length === count && rows.every(([, , status]) => status === 'sent'),
      60_000,
    );
  }

  /** Waits until the element with the focus is as expected: a name of `focusedElement`, or a pattern. */
  async waitForFocus(expected, why = `the focus is on ${expected}`) {
    await eventually(
      why,
      () => this.focusedElement(),
      (where) => (expected instanceof RegExp ? expected.test(where) : where === expected),
      5_000,
    );
  }

  /** Returns the element with the focus as a selector, or `nowhere`. */
  focusedElement() {
    return this.page.evaluate(() => {
      const node = document.activeElement;
      if (!node || node === document.body) return 'nowhere';
      return [
        `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ''}`,
        ...[...node.classList].filter((name) => !name.startsWith('svelte-')),
      ].join('.');
    });
  }

  /** Presses Tab until the element has the focus. */
  async tabTo(selector, maxPresses = 60) {
    for (let presses = 0; presses <= maxPresses; presses++) {
      if (await this.page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return;
      await this.page.keyboard.press('Tab');
      assert.notEqual(await this.focusedElement(), 'nowhere', 'the focus is lost to the page');
    }
    throw new Error(`${selector} is not reached by ${maxPresses} presses of Tab`);
  }
}

/** Returns two people in a talk: both have accepted the rules and share an interest. */
export async function startTalk(fixture, interest, options = {}) {
  const [a, b] = await Promise.all([fixture.person('ko', options.a), fixture.person('en', options.b)]);
  await Promise.all([a.openLobby(interest), b.openLobby(interest)]);
  await Promise.all([a.acceptRulesAndStart(), b.acceptRulesAndStart()]);
  const [pathA, pathB] = await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  assert.equal(pathA, pathB);
  assert.match(pathA, /^\/chat\/s\/[0-9a-f-]{36}$/);
  return [a, b];
}

/** Asserts that both pages show the same messages. Returns their texts. */
export async function assertSameMessages(a, b) {
  const [one, other] = [await a.rows(), await b.rows()];
  const mirrored = other.map(([who, text, status]) => [who === 'me' ? 'them' : 'me', text, status]);
  assert.deepEqual(one, mirrored);
  return one.map(([, text]) => text);
}
