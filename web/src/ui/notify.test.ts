//! Notifications: asked for on a press, remembered, and shown only while the page is hidden. The
//! sound: muted on this device.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Notify } from './notify.svelte';
import { Sound } from './sound';
import type { KeyValueStore } from './storage';

let shown: string[];
let permission: NotificationPermission;
const requestPermission = vi.fn(async () => (permission = 'granted'));
let store: KeyValueStore;

class FakeNotification {
  static get permission() {
    return permission;
  }
  static requestPermission = requestPermission;
  onclick: (() => void) | null = null;
  constructor(text: string) {
    shown.push(text);
  }
  close() {}
}

beforeEach(() => {
  shown = [];
  permission = 'default';
  requestPermission.mockClear();
  const items = new Map<string, string>();
  store = {
    get: (key) => items.get(key) ?? null,
    set: (key, value) => (value === null ? void items.delete(key) : void items.set(key, value)),
  };
  vi.stubGlobal('Notification', FakeNotification);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const hide = () => vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');

describe('a notification', () => {
  it('is requested on a press only, and the wish is stored', async () => {
    const notify = new Notify('key', store);
    expect([notify.state, requestPermission.mock.calls.length]).toEqual(['off', 0]);
    expect(await notify.turnOn()).toBe('on');
    expect(new Notify('key', store).state).toBe('on');
    notify.turnOff();
    expect(new Notify('key', store).state).toBe('off');
    expect(requestPermission).toHaveBeenCalledOnce();
  });

  it('is shown while the page is hidden, each time', async () => {
    const notify = new Notify('key', store);
    await notify.turnOn();
    expect(notify.show('visible', 'tag')).toBe(false);
    hide();
    expect([notify.show('one', 'tag'), notify.show('two', 'tag')]).toEqual([true, true]);
    expect(shown).toEqual(['one', 'two']);
  });

  it('is not shown if the browser refuses, also later', async () => {
    requestPermission.mockImplementationOnce(async () => (permission = 'denied'));
    const notify = new Notify('key', store);
    expect(await notify.turnOn()).toBe('denied');
    hide();
    expect(notify.show('no', 'tag')).toBe(false);
    permission = 'granted';
    expect(notify.show('allowed in the settings', 'tag')).toBe(true);
  });

  it('is reported as unsupported in a browser without them', async () => {
    vi.stubGlobal('Notification', undefined);
    expect(await new Notify('key', store).turnOn()).toBe('unsupported');
  });
});

describe('the sound', () => {
  it('makes two notes, and none once it is muted on this device', () => {
    const started: number[] = [];
    const node = { connect: (next: unknown) => next };
    const ramp = { setValueAtTime() {}, exponentialRampToValueAtTime() {} };
    vi.stubGlobal(
      'AudioContext',
      class {
        currentTime = 1;
        destination = node;
        resume = async () => undefined;
        createOscillator = () => ({ ...node, frequency: {}, start: (at: number) => started.push(at), stop() {} });
        createGain = () => ({ ...node, gain: ramp });
      },
    );
    const sound = new Sound(store);
    sound.play();
    expect(started).toHaveLength(2);
    sound.muted = true;
    sound.play();
    expect([started.length, new Sound(store).muted]).toEqual([2, true]);
  });

  it('is silent without an error where there is no sound', () => {
    vi.stubGlobal('AudioContext', undefined);
    expect(() => new Sound(store).play()).not.toThrow();
  });
});
