//! The outbox: messages survive a reload, in order and once.
import { describe, expect, it } from 'vitest';
import { FakeStorage } from './fake';
import { Outbox, MAX_OUTBOX_MESSAGES } from './outbox';

const letter = (id: string) => ({ client_id: id, text: `text ${id}`, at: 1, failed: null });

describe('the outbox', () => {
  it('has its messages after a reload, in the order of writing', () => {
    const keep = new FakeStorage();
    const before = new Outbox('me', 'r', keep);
    for (const id of ['a', 'b', 'c']) before.add(letter(id));
    before.remove('b');
    before.mark('c', 'late');
    expect(new Outbox('me', 'r', keep).messages).toEqual([letter('a'), { ...letter('c'), failed: 'late' }]);
  });

  it('separates rooms and leaves nothing in the storage when empty', () => {
    const keep = new FakeStorage();
    const one = new Outbox('me', 'one', keep);
    one.add(letter('a'));
    expect(new Outbox('me', 'two', keep).messages).toEqual([]);
    one.clear();
    expect(keep.items.size).toBe(0);
  });

  it('separates the people of a browser', () => {
    const keep = new FakeStorage();
    new Outbox('me', 'r', keep).add(letter('a'));
    expect(new Outbox('somebody else', 'r', keep).messages).toEqual([]);
    expect(new Outbox('me', 'r', keep).messages).toHaveLength(1);
  });

  it('adds a message once, and not more than its limit', () => {
    const outbox = new Outbox('me', 'r', new FakeStorage());
    expect(outbox.add(letter('a')) && outbox.add(letter('a'))).toBe(true);
    expect(outbox.messages).toHaveLength(1);
    for (let n = 1; n < MAX_OUTBOX_MESSAGES; n++) outbox.add(letter(String(n)));
    expect(outbox.add(letter('one too many'))).toBe(false);
    expect(outbox.messages[0]?.client_id).toBe('a');
  });

  it('works with a storage that is broken or refuses', () => {
    const keep = new FakeStorage();
    keep.setItem('maju.outbox.me.r', '{"not": "a list"}');
    expect(new Outbox('me', 'r', keep).messages).toEqual([]);
    keep.setItem(
      'maju.outbox.me.r',
      '[{"client_id": "a"}, 3, null, {"client_id": "b", "text": "t", "at": 1, "failed": null}]',
    );
    expect(new Outbox('me', 'r', keep).messages.map((kept) => kept.client_id)).toEqual(['b']);
    const full = {
      ...keep,
      getItem: () => null,
      removeItem: () => undefined,
      setItem: () => {
        throw new Error('full');
      },
    };
    const outbox = new Outbox('me', 'r', full);
    outbox.add(letter('a'));
    expect(outbox.messages).toHaveLength(1);
  });
});
