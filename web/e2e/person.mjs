//! What a person does with the page, and sees on it. Nothing here waits for time to pass: only for what the page shows.
import { strict as assert } from 'node:assert';

/** Waits until a question has the wanted answer, asked again and again; the last answer is in the error. */
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

/** What a browser writes when there is no network is not the page's fault. */
const NETWORK = /Failed to load resource|WebSocket connection to|net::ERR_|ERR_INTERNET_DISCONNECTED/;

export class Person {
  complaints = [];

  constructor(context, page, locale, touch = false) {
    Object.assign(this, { context, page, locale, touch });
    page.setDefaultTimeout(20_000);
    page.on('pageerror', (error) => this.complaints.push(`${locale}: ${error.message}`));
    page.on('console', (line) => {
      if (line.type() === 'error' && !NETWORK.test(line.text())) this.complaints.push(`${locale}: ${line.text()}`);
    });
  }

  $(selector, options) {
    return this.page.locator(selector, options);
  }

  async lobby(interest) {
    await this.page.goto('/chat');
    await this.$('.submit .button').waitFor();
    // The form knows about the rules once the server has answered.
    await this.page.waitForFunction(
      () =>
        document.querySelector('#agree') !== null || document.querySelector('.submit p:last-child')?.textContent !== '',
    );
    // Everybody here speaks English too, or nobody would meet across the two languages of the page.
    await this.$('.choice[lang=en] input').check();
    if (interest) await this.interest(interest);
  }

  async interest(topic) {
    await this.$('.interests input').fill(topic);
    await this.$('.interests input').press('Enter');
    await this.$('.interest', { hasText: topic }).first().waitFor();
  }

  /** Through the gate for the first time: the box and the button. */
  async start() {
    await this.$('#agree').check();
    await this.$('.submit .button').click();
    await this.seeking();
  }

  async seeking() {
    await this.$('.seek, .talk').first().waitFor();
  }

  async stopLooking() {
    const stop = this.$('.seek .actions .button').last();
    if (!(await stop.isVisible())) return;
    await stop.click({ timeout: 1_000 });
    await this.$('.submit .button').waitFor({ timeout: 1_000 });
  }

  async met() {
    await this.$('.talk[data-state] textarea').waitFor();
    return new URL(this.page.url()).pathname;
  }

  state() {
    return this.$('.talk').getAttribute('data-state');
  }

  async stands(state) {
    await this.$(`.talk[data-state=${state}]`).waitFor();
  }

  get field() {
    return this.$('.composer textarea');
  }

  async say(text) {
    await this.field.fill(text);
    // On glass Enter makes a new line, and the button sends.
    if (this.touch) await this.$('.send-button').click();
    else await this.field.press('Enter');
  }

  /** Everything on the page, in its order: `[who, text, status]`. */
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

  sees(text) {
    return eventually(
      `${this.locale} sees "${text}"`,
      () => this.texts(),
      (texts) => texts.includes(text),
    );
  }

  async allSent(count) {
    await eventually(
      `${this.locale} has ${count} messages, all sent`,
      () => this.rows(),
      (rows) => rows.length === count && rows.every(([, , status]) => status === 'sent'),
      60_000,
    );
  }

  /** Where the focus is, for a walk with the keyboard alone. */
  focused() {
    return this.page.evaluate(() => {
      const node = document.activeElement;
      if (!node || node === document.body) return 'nowhere';
      return [
        `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ''}`,
        ...[...node.classList].filter((name) => !name.startsWith('svelte-')),
      ].join('.');
    });
  }

  /** Tab until the focus is on it. */
  async tabTo(selector, most = 60) {
    for (let presses = 0; presses <= most; presses++) {
      if (await this.page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return;
      await this.page.keyboard.press('Tab');
      assert.notEqual(await this.focused(), 'nowhere', 'the focus is lost to the page');
    }
    throw new Error(`${selector} is not reached by ${most} presses of Tab`);
  }
}

/** Two people who meet: each goes through the gate, both like the same. */
export async function meet(house, interest, options = {}) {
  const [a, b] = await Promise.all([house.person('ko', options.a), house.person('en', options.b)]);
  await Promise.all([a.lobby(interest), b.lobby(interest)]);
  await Promise.all([a.start(), b.start()]);
  const [pathA, pathB] = await Promise.all([a.met(), b.met()]);
  assert.equal(pathA, pathB);
  assert.match(pathA, /^\/chat\/s\/[0-9a-f-]{36}$/);
  return [a, b];
}

/** Both pages tell the same story, from two sides. */
export async function sameStory(a, b) {
  const [one, other] = [await a.rows(), await b.rows()];
  const turned = other.map(([who, text, status]) => [who === 'me' ? 'them' : 'me', text, status]);
  assert.deepEqual(one, turned);
  return one.map(([, text]) => text);
}
