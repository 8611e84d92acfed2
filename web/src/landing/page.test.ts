//! A newer edition of the page: what is taken over, and what the reader keeps.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { LivingPage } from './page';

const part = (id: string, text: string): string => `<section id="${id}"><h2>${id}</h2>${text}</section>`;
const FAQ =
  '<details open><summary>one</summary><p>1</p></details><details><summary>two</summary><p>2</p></details><a href="#x">link</a>';

function edition(version: string, parts: string, banners = ''): string {
  return `${banners}<header class="site-header"></header><main tabindex="-1" data-version="${version}">${parts}</main>`;
}

const parsed = (html: string): Document => new DOMParser().parseFromString(html, 'text/html');
const order = (): string[] => [...document.querySelectorAll('main > *')].map((one) => one.id);

beforeEach(() => {
  vi.spyOn(window, 'scrollBy').mockImplementation(() => undefined);
  document.body.innerHTML = edition('1', part('start', '<p>a</p>') + part('now', '<b>5</b>') + part('faq', FAQ));
});

describe('LivingPage', () => {
  it('keeps the parts that did not change, whatever scripts did to them', () => {
    const page = new LivingPage();
    const now = document.getElementById('now') as HTMLElement;
    now.querySelector('b')?.replaceChildren('7');
    const newer = edition(
      '2',
      part('now', '<b>5</b>') + part('start', '<p>b</p>') + part('more', '') + part('faq', FAQ),
    );
    expect(page.take(parsed(newer))).toBe(true);
    expect(order()).toEqual(['now', 'start', 'more', 'faq']);
    expect(document.getElementById('now')).toBe(now);
    expect(now.textContent).toContain('7');
    expect([document.querySelector('#start p')?.textContent, page.version]).toEqual(['b', '2']);
  });

  it('keeps opened answers and the focus in a part that changed', () => {
    const page = new LivingPage();
    const [first, second] = [...document.querySelectorAll('details')];
    if (!first || !second) throw new Error('two answers');
    first.open = false;
    second.open = true;
    document.querySelector('a')?.focus();
    page.take(parsed(edition('2', part('faq', FAQ.replace('<p>2', '<p>new')))));
    expect([...document.querySelectorAll('details')].map((one) => one.open)).toEqual([false, true]);
    expect(document.querySelector('#faq')?.textContent).toContain('new');
    expect(document.activeElement?.textContent).toBe('link');
    expect(order()).toEqual(['faq']);
  });

  it('does nothing with the edition that is shown', () => {
    const page = new LivingPage();
    expect(page.take(parsed(edition('1', '')))).toBe(false);
    expect(order()).toEqual(['start', 'now', 'faq']);
  });

  it('takes announcements over, and away again', () => {
    const page = new LivingPage();
    const parts = part('start', '<p>a</p>');
    page.take(parsed(edition('2', parts, '<div class="banners">news</div>')));
    expect(document.querySelector('.banners + .site-header')).not.toBeNull();
    page.take(parsed(edition('3', parts)));
    expect(document.querySelector('.banners')).toBeNull();
  });
});
