//! The Enter key with the event orders of real browsers, and on touch screens.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EnterKey, SAME_PRESS_MS } from './enter';

let field: HTMLTextAreaElement;
let sent: string[];
let newline: boolean;
let time: number;
let detach: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  field = document.createElement('textarea');
  [sent, newline, time] = [[], false, 1000];
  detach = new EnterKey({
    send: () => {
      if (field.value !== '') sent.push(field.value);
      field.value = '';
    },
    newline: () => newline,
  }).attach(field);
});
afterEach(() => {
  detach();
  vi.useRealTimers();
});

/**
 * Dispatches an event at the test's own time. Returns `true` if the browser would apply its default
 * action.
 */
function fire(event: Event): boolean {
  Object.defineProperty(event, 'timeStamp', { value: time });
  return field.dispatchEvent(event);
}
const key = (init: KeyboardEventInit & { keyCode?: number }) =>
  fire(new KeyboardEvent('keydown', { key: 'Enter', code: 'Enter', keyCode: 13, cancelable: true, ...init }));
const start = () => fire(new CompositionEvent('compositionstart'));
const update = (data: string, whole: string) => {
  fire(new CompositionEvent('compositionupdate', { data }));
  field.value = whole;
};
const end = (data: string) => fire(new CompositionEvent('compositionend', { data }));
const breaks = () => fire(new InputEvent('beforeinput', { inputType: 'insertLineBreak', cancelable: true }));
const later = (ms = 0) => {
  time += ms;
  vi.advanceTimersByTime(ms);
};

describe('Hangul', () => {
  it('Chromium: Enter inside the composition sends once, with the last syllable', () => {
    start();
    update('요', '안녕하세요');
    expect(key({ key: 'Process', keyCode: 229, isComposing: true })).toBe(true);
    expect(sent).toEqual([]);
    end('요');
    later(0);
    expect(sent).toEqual(['안녕하세요']);
    // The same press again, without the composition, and its line break.
    later(5);
    expect(key({})).toBe(false);
    expect(breaks()).toBe(false);
    later(SAME_PRESS_MS);
    expect(sent).toEqual(['안녕하세요']);
  });

  it('Firefox: the key is Enter and is marked as composing', () => {
    start();
    update('녕', '안녕');
    key({ isComposing: true });
    end('녕');
    later(0);
    expect(sent).toEqual(['안녕']);
  });

  it('Safari: the composition ends first, then a key with the code 229 follows', () => {
    start();
    update('요', '안녕하세요');
    end('요');
    later(1);
    expect(key({ keyCode: 229 })).toBe(false);
    expect(breaks()).toBe(false);
    later(0);
    expect(sent).toEqual(['안녕하세요']);
  });

  it('sends a single jamo, as in ㅋㅋㅋ', () => {
    start();
    update('ㅋ', 'ㅋㅋㅋ');
    key({ isComposing: true, keyCode: 229 });
    end('ㅋ');
    later(0);
    expect(sent).toEqual(['ㅋㅋㅋ']);
  });

  it('sends two quick messages as two messages', () => {
    for (const word of ['네', '좋아요']) {
      start();
      update(word.slice(-1), word);
      key({ isComposing: true, keyCode: 229 });
      end(word.slice(-1));
      later(SAME_PRESS_MS);
    }
    expect(sent).toEqual(['네', '좋아요']);
  });

  it('treats an Enter after another key as a new press, however fast', () => {
    start();
    update('네', '네');
    key({ isComposing: true, keyCode: 229 });
    end('네');
    later(1);
    key({ key: '!', code: 'Digit1', keyCode: 49 });
    field.value = '!';
    later(1);
    key({});
    expect(sent).toEqual(['네', '!']);
  });

  it('sends nothing when the next syllable starts', () => {
    start();
    update('안', '안');
    end('안');
    start();
    update('녕', '안녕');
    later(500);
    expect(sent).toEqual([]);
  });

  it('does not send later if the field loses the focus after Enter', () => {
    start();
    update('요', '요');
    key({ isComposing: true, keyCode: 229 });
    fire(new FocusEvent('blur'));
    end('요');
    later(SAME_PRESS_MS);
    expect(sent).toEqual([]);
  });
});

describe('other scripts', () => {
  it.each([['かんじ'], ['漢'], ['han']])('ignores the Enter that picks %s', (data) => {
    start();
    update(data, data);
    expect(key({ isComposing: true, keyCode: 229 })).toBe(true);
    end(data);
    later(SAME_PRESS_MS);
    expect(sent).toEqual([]);
    key({});
    expect(sent).toEqual([data]);
  });

  it('Safari, Japanese: does not send on the key that ended the composition', () => {
    start();
    update('漢', '漢');
    end('漢');
    later(1);
    key({ keyCode: 229 });
    later(SAME_PRESS_MS);
    expect(sent).toEqual([]);
  });
});

describe('without a composition', () => {
  it('sends once with Enter and makes a line with Shift+Enter', () => {
    field.value = 'hi';
    expect(key({ shiftKey: true })).toBe(true);
    expect(sent).toEqual([]);
    expect(key({})).toBe(false);
    key({});
    expect(sent).toEqual(['hi']);
  });

  it('makes a line with Enter and sends with Ctrl+Enter on a touch screen', () => {
    newline = true;
    field.value = 'hi';
    expect(key({})).toBe(true);
    expect(sent).toEqual([]);
    expect(key({ ctrlKey: true })).toBe(false);
    expect(sent).toEqual(['hi']);
  });
});
