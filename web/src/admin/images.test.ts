//! What an upload takes, and how it reads the server's answer.
import { describe, expect, it } from 'vitest';
import { firstImage, percent, readAnswer, uploadForm } from './images';

describe('an upload', () => {
  it('takes the first image among dropped files', () => {
    const text = new File(['x'], 'a.txt', { type: 'text/plain' });
    const image = new File(['x'], 'b.png', { type: 'image/png' });
    expect(firstImage([text, image])).toBe(image);
    expect(firstImage([text])).toBeUndefined();
    expect(firstImage(null)).toBeUndefined();
  });

  it('goes to the page of the stored image, and shows a refusal in the reader’s words', () => {
    expect(readAnswer(200, '{"path":"/admin/images/1"}', 'no')).toEqual({ path: '/admin/images/1' });
    expect(readAnswer(200, '{"field":"file","text":"too large"}', 'no')).toEqual({ text: 'too large' });
    for (const [status, body] of [
      [200, '<!doctype html>'],
      [200, 'null'],
      [503, '{"path":"/admin/images/1"}'],
    ] as const) {
      expect(readAnswer(status, body, 'no')).toEqual({ text: 'no' });
    }
  });

  it('counts whole percent', () => {
    expect([percent(0, 0), percent(1, 3), percent(3, 3), percent(4, 3)]).toEqual([0, 33, 100, 100]);
  });

  it('refuses a file that is too large before it is sent', () => {
    document.body.innerHTML =
      '<form data-upload data-most="3" data-too-large="too large"><input type="file"><p data-problem></p></form>';
    uploadForm();
    const [form, input] = [document.querySelector('form') as HTMLFormElement, document.querySelector('input')];
    Object.defineProperty(input, 'files', { value: [new File(['four'], 'a.png', { type: 'image/png' })] });
    form.dispatchEvent(new Event('submit', { cancelable: true }));
    expect(document.querySelector('[data-problem]')?.textContent).toBe('too large');
  });
});
