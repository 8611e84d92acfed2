//! The choices that the landing page stores.
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cookies } from '../ui/cookies';
import { keepChoices } from './choices';

const PAGE = `<a id="chat" href="/chat"><b>대화 시작</b></a><a id="other" href="/en" hreflang="en">English</a><a id="how" href="#how">방식</a>
<fieldset class="theme"><input type="radio" name="theme" value="auto" checked><input type="radio" name="theme" value="dark"></fieldset>`;

const forget = (name: string): void => void (document.cookie = `${name}=; Path=/; Max-Age=0`);
const press = (id: string): void =>
  void document
    .querySelector(`#${id}, #${id} b`)
    ?.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }));

// jsdom cannot navigate.
beforeAll(() => document.addEventListener('click', (event) => event.preventDefault()));

beforeEach(() => {
  document.documentElement.lang = 'ko';
  document.body.innerHTML = PAGE;
});

afterEach(() => ['maju_theme', 'maju_locale'].forEach(forget));

describe('keepChoices', () => {
  it('stores nothing before a choice', () => {
    keepChoices();
    press('how');
    expect(document.cookie).toBe('');
  });

  it('stores and shows the theme', () => {
    keepChoices();
    const dark = document.querySelector('[value=dark]') as HTMLInputElement;
    dark.checked = true;
    dark.dispatchEvent(new Event('change', { bubbles: true }));
    expect([cookies.get('maju_theme'), document.documentElement.dataset.theme]).toEqual(['dark', 'dark']);
  });

  it('shows a theme that was chosen on another page meanwhile', () => {
    keepChoices();
    cookies.set('maju_theme', 'dark');
    window.dispatchEvent(new Event('pageshow'));
    const shown = document.querySelector<HTMLInputElement>('.theme :checked')?.value;
    const bars = [...document.querySelectorAll<HTMLMetaElement>('meta[name=theme-color]')].map((meta) => meta.content);
    expect([shown, document.documentElement.dataset.theme, ...bars]).toEqual(['dark', 'dark', '#14130f']);
  });

  it('stores a language whose link was followed', () => {
    keepChoices();
    press('other');
    expect(cookies.get('maju_locale')).toBe('en');
    press('chat');
    expect(cookies.get('maju_locale')).toBe('en');
  });

  it('stores the language of the page on the way to the chat, unless the browser chose it', () => {
    keepChoices();
    press('chat');
    expect(cookies.get('maju_locale')).toBeNull();
    history.replaceState(null, '', '/ko');
    press('chat');
    expect(cookies.get('maju_locale')).toBe('ko');
    forget('maju_locale');
    document.documentElement.lang = 'en';
    history.replaceState(null, '', '/en/rules');
    press('chat');
    expect(cookies.get('maju_locale')).toBe('en');
    history.replaceState(null, '', '/');
  });
});
