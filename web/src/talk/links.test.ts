//! Links in messages: where they begin and end in Korean and English, and hosts that could mislead.
import { describe, expect, it } from 'vitest';
import { segmentsOf } from './links';

/** The links of a text as `shown → where it leads`. */
const links = (text: string) => segmentsOf(text).flatMap(({ link }) => (link ? [[link.text, link.href]] : []));
const first = (text: string) => segmentsOf(text).find(({ link }) => link)?.link;

describe('a link', () => {
  it.each([
    ['https://a.example/rain', 'https://a.example/rain', 'https://a.example/rain'],
    ['see HTTP://A.example now', 'HTTP://A.example', 'http://a.example/'],
    ['www.a.example/x?y=1#z', 'www.a.example/x?y=1#z', 'https://www.a.example/x?y=1#z'],
    ['maju.kr', 'maju.kr', 'https://maju.kr/'],
    ['여기 naver.com/a 봐요', 'naver.com/a', 'https://naver.com/a'],
    ['여기https://a.example/b', 'https://a.example/b', 'https://a.example/b'],
    ['http://a.example:8080/x', 'http://a.example:8080/x', 'http://a.example:8080/x'],
    ['http://192.168.0.1/x', 'http://192.168.0.1/x', 'http://192.168.0.1/x'],
    // The end of a sentence.
    ['Look: https://a.example/b.', 'https://a.example/b', 'https://a.example/b'],
    ['(https://a.example/b)', 'https://a.example/b', 'https://a.example/b'],
    ['https://a.example/Foo_(bar), ok', 'https://a.example/Foo_(bar)', 'https://a.example/Foo_(bar)'],
    ['(https://a.example/Foo_(bar)).', 'https://a.example/Foo_(bar)', 'https://a.example/Foo_(bar)'],
    ['“https://a.example/b”요', 'https://a.example/b', 'https://a.example/b'],
    ['https://a.example/b?!', 'https://a.example/b', 'https://a.example/b'],
    ['https://a.example/b…', 'https://a.example/b', 'https://a.example/b'],
    ['<https://a.example/b>', 'https://a.example/b', 'https://a.example/b'],
    ['[x](https://a.example/b)', 'https://a.example/b', 'https://a.example/b'],
    // Korean particles, but not Korean words.
    ['naver.com에서 봤어요', 'naver.com', 'https://naver.com/'],
    ['https://a.example에 있어요', 'https://a.example', 'https://a.example/'],
    ['https://a.example/rain를 봐요', 'https://a.example/rain', 'https://a.example/rain'],
    ['https://a.example/rain이에요.', 'https://a.example/rain', 'https://a.example/rain'],
    ['https://a.example/에서', 'https://a.example/', 'https://a.example/'],
    ['naver.com이라는 곳', 'naver.com', 'https://naver.com/'],
    ['https://a.example/wiki/비', 'https://a.example/wiki/비', 'https://a.example/wiki/%EB%B9%84'],
    ['https://a.example/wiki/가', 'https://a.example/wiki/가', 'https://a.example/wiki/%EA%B0%80'],
    ['https://a.example/?q=나', 'https://a.example/?q=나', 'https://a.example/?q=%EB%82%98'],
    ['https://a.example/C언어', 'https://a.example/C언어', 'https://a.example/C%EC%96%B8%EC%96%B4'],
  ])('in %j is %j', (text, shown, href) => {
    expect(links(text)).toEqual([[shown, href]]);
  });

  it('leaves the text around it as it is', () => {
    const text = '가 https://a.example/b, 나 www.b.example. 다';
    const parts = segmentsOf(text);
    expect(parts.map((part) => part.text).join('')).toBe(text);
    expect(parts.filter(({ link }) => link)).toHaveLength(2);
  });

  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'ftp://a.example/b',
    'file:///etc/passwd',
    'https://',
    'https://localhost/x',
    'http://2130706433/',
    'http://0x7f000001/',
    'me@naver.com',
    'mailto:me@naver.com',
    'node.js',
    '3.5',
    'v1.2.3',
    'e.g. this',
    '그래요.다음에',
    'a.company',
    'https://bank.example@evil.example/',
    'https://bank.example:443@evil.example/',
    'https://@evil.example/',
    'https://..example/',
    'http:///a.example',
  ])('is not %j', (text) => {
    expect(links(text)).toEqual([]);
  });
});

describe('a host', () => {
  it.each([
    // Hangul alone or with Latin letters is readable.
    ['https://마주.한국/비', '마주.한국', '마주.한국/비'],
    ['https://한글abc.example', '한글abc.example', '한글abc.example'],
    ['https://日本語.example', '日本語.example', '日本語.example'],
    // Cyrillic letters among Latin ones, or alone, look like Latin ones.
    ['https://аpple.example', 'xn--pple-43d.example', 'xn--pple-43d.example'],
    ['https://аррӏе.example/x', 'xn--80ak6aa92e.example', 'xn--80ak6aa92e.example/x'],
    ['https://ο.example', 'xn--0xa.example', 'xn--0xa.example'],
    ['https://gọọgle.example', 'xn--ggle-gx5aa.example', 'xn--ggle-gx5aa.example'],
    ['https://日本語abc.example', 'xn--abc-s08fl0dtz6h.example', 'xn--abc-s08fl0dtz6h.example'],
    ['https://ａpple.example', 'apple.example', 'apple.example'],
    ['https://APPLE.example', 'apple.example', 'apple.example'],
  ])('of %s is shown as %s', (text, host, address) => {
    const link = first(text);
    expect([link?.host, link?.address]).toEqual([host, address]);
  });

  it('that could be misread is not shown as it was typed', () => {
    expect(first('https://аpple.example/x')?.text).toBe('xn--pple-43d.example/x');
    expect(first('https://ａpple.example')?.text).toBe('apple.example');
    expect(first('https://마주.한국')?.text).toBe('https://마주.한국');
    expect(first('https://APPLE.example/X')?.text).toBe('https://APPLE.example/X');
  });

  it('ends at a character that cannot be seen or turns the direction', () => {
    expect(links('https://a.example/b\u200bc')).toEqual([['https://a.example/b', 'https://a.example/b']]);
    expect(links('https://a.example/b\u200f/gpj')).toEqual([['https://a.example/b', 'https://a.example/b']]);
    expect(links('https://a.example/b\u00adc')[0]?.[1]).toBe('https://a.example/b');
    expect(links('https://a.example/b\u3164c')[0]?.[1]).toBe('https://a.example/b');
  });

  it('stays first when the path is written from right to left', () => {
    const link = first('https://a.example/שלום');
    expect(link?.text).toBe('a.example/%D7%A9%D7%9C%D7%95%D7%9D');
    expect(link?.address).toBe('a.example/%D7%A9%D7%9C%D7%95%D7%9D');
  });

  it('is followed by a path that hides nothing', () => {
    expect(first('https://a.example/%E2%80%AEgpj')?.address).toBe('a.example/%E2%80%AEgpj');
    expect(first('https://a.example/a%20b')?.address).toBe('a.example/a%20b');
    expect(first('https://a.example/%ff')?.address).toBe('a.example/%ff');
    expect(first('https://a.example/%EB%B9%84')?.address).toBe('a.example/비');
  });

  it('is where a backslash does not lead elsewhere', () => {
    expect(links('https://a.example\\@evil.example/')[0]).toEqual(['https://a.example', 'https://a.example/']);
  });
});

it('a text without an end is read in little time', () => {
  for (const piece of ['a', 'a.', 'www.', 'https://', '가.', 'a-', '((', '에서']) {
    const began = performance.now();
    segmentsOf(piece.repeat(2000 / piece.length));
    segmentsOf(`https://a.example/${piece.repeat(2000 / piece.length)}`);
    expect(performance.now() - began).toBeLessThan(200);
  }
});
