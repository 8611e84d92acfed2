//! Tests of what the script adds to the forms of the account pages.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { copyButtons, countDown, sendOnce, showButtons, summaryFocus } from './forms';

afterEach(() => {
  vi.useRealTimers();
  document.body.innerHTML = '';
});

describe('the forms of the account pages', () => {
  it('move the focus to the summary', () => {
    document.body.innerHTML = '<div class="summary" tabindex="-1"></div>';
    summaryFocus();
    expect(document.activeElement?.className).toBe('summary');
  });

  it('show a password and hide it before it is sent', () => {
    document.body.innerHTML = `<form><input id="password" type="password">
      <button type="button" data-show="password" data-hide="Hide" hidden><span class="word">Show</span></button></form>`;
    showButtons();
    const field = document.querySelector('input') as HTMLInputElement;
    const button = document.querySelector('button') as HTMLButtonElement;
    expect(button.hidden).toBe(false);
    button.click();
    expect([field.type, button.getAttribute('aria-pressed'), button.textContent]).toEqual(['text', 'true', 'Hide']);
    document.querySelector('form')?.dispatchEvent(new Event('submit'));
    expect([field.type, button.textContent]).toEqual(['password', 'Show']);
  });

  it('copy a text, and say so for a moment', async () => {
    vi.useFakeTimers();
    document.body.innerHTML = `<ol id="codes" data-text="A\nB"></ol>
      <button data-copy="codes" data-done="Copied" hidden>Copy</button><button data-copy="none" hidden>x</button>`;
    const writeText = vi.fn(() => Promise.resolve());
    copyButtons(document, { writeText } as unknown as Clipboard);
    const [button, other] = [...document.querySelectorAll('button')];
    button?.click();
    await vi.advanceTimersByTimeAsync(0);
    expect(writeText).toHaveBeenCalledWith('A\nB');
    expect(button?.textContent).toBe('Copied');
    await vi.advanceTimersByTimeAsync(2_000);
    expect([button?.textContent, other?.hidden]).toEqual(['Copy', true]);
  });

  it('leave the copy button hidden where a browser cannot copy', () => {
    document.body.innerHTML = '<p id="a" data-text="A"></p><button data-copy="a" hidden>Copy</button>';
    copyButtons(document, undefined);
    expect(document.querySelector('button')?.hidden).toBe(true);
  });

  it('count a wait down and then let the form be sent', () => {
    vi.useFakeTimers();
    document.documentElement.lang = 'en';
    document.body.innerHTML = `<div class="form-tile"><p class="wait" data-seconds="61" data-sentence="Again in {}." data-over="Now.">x</p>
      <form><button type="button">Show</button><button>Go</button></form></div>`;
    countDown();
    const line = document.querySelector('.wait') as HTMLElement;
    const [show, go] = [...document.querySelectorAll('button')];
    expect([line.textContent, show?.disabled, go?.disabled]).toEqual(['Again in 2 minutes.', false, true]);
    vi.advanceTimersByTime(31_000);
    expect(line.textContent).toBe('Again in 30 seconds.');
    vi.advanceTimersByTime(30_000);
    expect([line.textContent, go?.disabled, line.getAttribute('role')]).toEqual(['Now.', false, 'status']);
  });

  it('are sent once until the reader comes back', () => {
    document.body.innerHTML = '<form></form>';
    sendOnce();
    const form = document.querySelector('form') as HTMLFormElement;
    const send = (): boolean => form.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }));
    expect([send(), send(), form.getAttribute('aria-busy')]).toEqual([true, false, 'true']);
    window.dispatchEvent(new Event('pageshow'));
    expect([send(), form.hasAttribute('aria-busy')]).toEqual([true, true]);
  });
});
