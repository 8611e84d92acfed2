//! Notifications for a person who looks at another window. Permission is requested only on a press.
import { deviceStore, type KeyValueStore } from './storage';

/**
 * `off`: not wanted. `on`: wanted and allowed. `denied`: wanted, but the browser refuses.
 * `unsupported`: wanted, but this browser shows no notifications of a page.
 */
export type NotifyState = 'off' | 'on' | 'denied' | 'unsupported';

export class Notify {
  /** The person wants notifications, on this device. Stored. */
  wanted = $state(false);
  permission = $state<NotificationPermission | 'unsupported'>('unsupported');
  readonly state = $derived<NotifyState>(this.wanted ? stateOf(this.permission) : 'off');
  readonly #key: string;
  readonly #store: KeyValueStore;

  /** `key` names the setting on the device, so that different notifications can be switched apart. */
  constructor(key: string, store: KeyValueStore = deviceStore) {
    this.#key = key;
    this.#store = store;
    this.wanted = store.get(key) === 'on';
    this.permission = permissionNow();
  }

  /** Switches on, and asks the browser for permission if it has not answered yet. */
  async turnOn(): Promise<NotifyState> {
    this.wanted = true;
    this.#store.set(this.#key, 'on');
    this.permission = permissionNow();
    if (this.permission === 'default') {
      this.permission = await Notification.requestPermission().catch(() => 'denied' as const);
      // The person closed the question without an answer.
      if (this.permission === 'default') this.turnOff();
    }
    return this.state;
  }

  turnOff(): void {
    this.wanted = false;
    this.#store.set(this.#key, null);
  }

  /**
   * Shows a notification if the person wants them and the page is hidden. A later one with the same
   * tag replaces it. Returns `false` if none was shown.
   */
  show(text: string, tag: string): boolean {
    this.permission = permissionNow();
    if (this.state !== 'on' || document.visibilityState === 'visible') return false;
    try {
      const notification = new Notification(text, { icon: '/icon.svg', tag });
      notification.onclick = () => {
        window.focus();
        notification.close();
      };
      return true;
    } catch {
      // Browsers of phones allow it only to service workers.
      this.permission = 'unsupported';
      return false;
    }
  }
}

function stateOf(permission: NotificationPermission | 'unsupported'): NotifyState {
  if (permission === 'unsupported' || permission === 'denied') return permission;
  return permission === 'granted' ? 'on' : 'off';
}

function permissionNow(): NotificationPermission | 'unsupported' {
  // Chromium on Android has the class, but its constructor always throws.
  const phone = typeof navigator !== 'undefined' && /Android.+Chrome/.test(navigator.userAgent);
  return typeof Notification === 'undefined' || phone ? 'unsupported' : Notification.permission;
}

/** Tells that a partner was found. */
export const notify = new Notify('maju.notify');
