//! Starts the system's Chromium and opens people in it, each with their own cookies, storage and
//! network.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { serveDist } from './dist.mjs';
import { Person } from './person.mjs';

function find() {
  const { CHROMIUM } = process.env;
  if (CHROMIUM) return CHROMIUM;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    if (existsSync(`/usr/bin/${name}`)) return `/usr/bin/${name}`;
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      // Try the next name.
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
  // A page that does not come from the local server would need permission to open a socket to it.
  if (process.env.E2E_DIST)
    flags.push('--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets');
  if (process.getuid?.() === 0) flags.push('--no-sandbox');
  return flags;
}

export async function openBrowser() {
  return chromium.launch({ executablePath: find(), args: flags() });
}

/** Opens the people of a walk and closes them at its end. */
export class Fixture {
  people = [];
  #folders = [];

  constructor(browser, server, results) {
    Object.assign(this, { browser, server, results });
  }

  /** Opens a person with the language `ko` or `en`. `options` are those of a browser context. */
  async person(locale = 'ko', options = {}) {
    return this.#open(await this.browser.newContext(this.#contextOptions(locale, options)), locale, options);
  }

  /** Opens a person whose browser blocks all cookies, and with them all storage. */
  async personWithoutCookies(locale = 'ko', options = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'maju-blocked-'));
    this.#folders.push(folder);
    mkdirSync(join(folder, 'Default'));
    const settings = { profile: { default_content_setting_values: { cookies: 2 } } };
    writeFileSync(join(folder, 'Default', 'Preferences'), JSON.stringify(settings));
    const own = { executablePath: find(), args: flags(), ...this.#contextOptions(locale, options) };
    return this.#open(await chromium.launchPersistentContext(folder, own), locale, options);
  }

  #contextOptions(locale, options) {
    return {
      locale: locale === 'ko' ? 'ko-KR' : 'en-US',
      timezoneId: 'Asia/Seoul',
      viewport: { width: 1280, height: 800 },
      baseURL: this.server.url,
      ...options,
    };
  }

  async #open(context, locale, options) {
    await serveDist(context);
    const person = new Person(context, await context.newPage(), locale, options.hasTouch);
    this.people.push(person);
    return person;
  }

  /** Returns the errors of the pages: exceptions, and blocked styles or scripts. */
  pageErrors() {
    return this.people.flatMap((person) => person.pageErrors);
  }

  async screenshot(name) {
    for (const [at, person] of this.people.entries()) {
      await person.page.screenshot({ path: `${this.results}/${name}-${at + 1}.png` }).catch(() => undefined);
    }
  }

  async closeAll() {
    // A ticket survives its page by ten seconds, so an open search would be matched with the next
    // walk.
    await Promise.all(this.people.map((person) => person.cancelSearch().catch(() => undefined)));
    await Promise.all(this.people.map((person) => person.context.close().catch(() => undefined)));
    this.people = [];
    for (const folder of this.#folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  }
}
