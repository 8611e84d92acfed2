//! The order of a list on the page.
import { expect, test } from 'vitest';
import { markEnds, moveTo } from './order';

function list(...names: string[]): HTMLOListElement {
  const list = document.createElement('ol');
  for (const name of names) {
    const item = document.createElement('li');
    item.id = name;
    for (const value of ['up', 'down']) {
      const button = document.createElement('button');
      Object.assign(button, { name: 'move', value });
      item.append(button);
    }
    list.append(item);
  }
  return list;
}

const order = (of: Element): string => [...of.children].map((item) => item.id).join('');

test('an item is moved up and down, and not beyond the ends', () => {
  const items = list('a', 'b', 'c');
  const first = items.children[0] as Element;
  expect(moveTo(items, first, -1)).toBe(false);
  expect(moveTo(items, first, 2)).toBe(true);
  expect(order(items)).toBe('bca');
  expect(moveTo(items, first, 3)).toBe(false);
  expect(moveTo(items, first, 1)).toBe(true);
  expect(order(items)).toBe('bac');
});

test('the first item cannot go up and the last one not down', () => {
  const items = list('a', 'b');
  markEnds(items);
  const disabled = [...items.querySelectorAll('button')].map((button) => button.disabled);
  expect(disabled).toEqual([true, false, false, true]);
});
