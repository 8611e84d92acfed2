//! Which numbers the lobby shows: without the reader, and no handful of people.
import { describe, expect, it } from 'vitest';
import { Stats } from './stats.svelte';

async function shown(numbers: Record<string, number | null>): Promise<Record<string, number>> {
  const items = Object.entries(numbers).map(([key, value]) => ({ key, value }));
  const stats = new Stats({ stats: async () => ({ items, next: null }) } as never);
  await stats.read();
  return Object.fromEntries(stats.all);
}

describe('the numbers of the lobby', () => {
  it('do not count the reader', async () => {
    expect(await shown({ online: 31 })).toEqual({ online: 30 });
  });

  it('hide fewer than five others', async () => {
    expect(await shown({ online: 6 })).toEqual({ online: 5 });
    expect(await shown({ online: 5, waiting: 4 })).toEqual({});
    expect(await shown({ online: 1, waiting: 5 })).toEqual({ waiting: 5 });
  });

  it('show other numbers from one on, and none that is unknown', async () => {
    expect(await shown({ online: null, talks_today: 1, median_wait: 3 })).toEqual({ talks_today: 1, median_wait: 3 });
    expect(await shown({ talks_today: 0, median_wait: null })).toEqual({});
  });

  it('are unknown after a failure', async () => {
    let fails = false;
    const stats = new Stats({
      stats: async () => {
        if (fails) throw new Error('gone');
        return { items: [{ key: 'online', value: 40 }], next: null };
      },
    } as never);
    await stats.read();
    fails = true;
    await stats.read();
    expect([stats.all.size, stats.at]).toEqual([0, null]);
  });
});
