//! Announcements in the client: what is shown, and what the reader has hidden.
import { describe, expect, it } from 'vitest';
import type { Banner } from '../wire/api';
import { Banners, textOf } from './banners.svelte';
import type { KeyValueStore } from './storage';

const banner = (key: string): Banner => ({ key, text: { ko: '점검' }, tone: 'info', ends_at: null });

function store(): KeyValueStore {
  const values = new Map<string, string>();
  return { get: (key) => values.get(key) ?? null, set: (key, value) => void values.set(key, value ?? '') };
}

describe('Banners', () => {
  it('hides one until its text changes, also after a reload', async () => {
    const kept = store();
    let items = [banner('1-1'), banner('2-1')];
    const api = { banners: async () => ({ items, next: null }) };
    const banners = new Banners(api, 'lobby', kept);
    await banners.read();
    banners.hide('1-1');
    expect(banners.shown.map((one) => one.key)).toEqual(['2-1']);
    items = [banner('1-1'), banner('1-2')];
    const again = new Banners(api, 'chat', kept);
    await again.read();
    expect(again.shown.map((one) => one.key)).toEqual(['1-2']);
  });

  it('keeps what it shows while the server does not answer', async () => {
    let fails = false;
    const api = {
      banners: async () => {
        if (fails) throw new Error('gone');
        return { items: [banner('1-1')], next: null };
      },
    };
    const banners = new Banners(api, 'lobby', store());
    await banners.read();
    fails = true;
    await banners.read();
    expect(banners.shown.length).toBe(1);
  });

  it('stands in with the first language for a missing one', () => {
    expect(textOf(banner('1-1'))).toEqual({ text: '점검', lang: 'ko' });
  });
});
