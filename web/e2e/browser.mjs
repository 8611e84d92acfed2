//! The system's Chromium, and people who use it: each with cookies, storage and network of their own.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { serveFresh } from './fresh.mjs';
import { Person } from './person.mjs';

function find() {
  const { CHROMIUM } = process.env;
  if (CHROMIUM) return CHROMIUM;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    if (existsSync(`/usr/bin/${name}`)) return `/usr/bin/${name}`;
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      // Not this one.
    }
  }
  throw new Error('no Chromium was found: install chromium, or name a browser with CHROMIUM');
}

function flags() {
  const flags = [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-dev-shm-usage',
  ];
  // A page that did not come from the local server would have to ask before it may open a socket to it.
  if (process.env.E2E_DIST)
    flags.push('--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets');
  if (process.getuid?.() === 0) flags.push('--no-sandbox');
  return flags;
}

export async function openBrowser() {
  return chromium.launch({ executablePath: find(), args: flags() });
}

/** Lets people in, and sees them out at the end of a test. */
export class House {
  people = [];
  #folders = [];

  constructor(browser, server, results) {
    Object.assign(this, { browser, server, results });
  }

  /** `ko` or `en`; anything else of a browser context can be given as well. */
  async person(locale = 'ko', options = {}) {
    return this.#welcome(await this.browser.newContext(this.#given(locale, options)), locale, options);
  }

  /** Somebody who has blocked all cookies in the browser's settings, and with them every storage. */
  async blocked(locale = 'ko', options = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'maju-blocked-'));
    this.#folders.push(folder);
    mkdirSync(join(folder, 'Default'));
    const settings = { profile: { default_content_setting_values: { cookies: 2 } } };
    writeFileSync(join(folder, 'Default', 'Preferences'), JSON.stringify(settings));
    const own = { executablePath: find(), args: flags(), ...this.#given(locale, options) };
    return this.#welcome(await chromium.launchPersistentContext(folder, own), locale, options);
  }

  #given(locale, options) {
    return {
      locale: locale === 'ko' ? 'ko-KR' : 'en-US',
      timezoneId: 'Asia/Seoul',
      viewport: { width: 1280, height: 800 },
      baseURL: this.server.url,
      ...options,
    };
  }

  async #welcome(context, locale, options) {
    await serveFresh(context);
    const person = new Person(context, await context.newPage(), locale, options.hasTouch);
    this.people.push(person);
    return person;
  }

  /** Errors of the pages themselves: a refused style or script, an exception. */
  complaints() {
    return this.people.flatMap((person) => person.complaints);
  }

  async photograph(name) {
    for (const [at, person] of this.people.entries()) {
      await person.page.screenshot({ path: `${this.results}/${name}-${at + 1}.png` }).catch(() => undefined);
    }
  }

  async empty() {
    // Whoever still looks for somebody would be found by the next walk: a ticket outlives its page by ten seconds.
    await Promise.all(this.people.map((person) => person.stopLooking().catch(() => undefined)));
    await Promise.all(this.people.map((person) => person.context.close().catch(() => undefined)));
    this.people = [];
    for (const folder of this.#folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  }
}
