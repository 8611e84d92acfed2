//! A notification when a partner is found, for a person who looks at another window. Permission is
//! requested on a press.

export type Permission = 'off' | 'on' | 'denied';

export class Notify {
  permission = $state<Permission>('off');

  get supported(): boolean {
    return typeof Notification !== 'undefined';
  }

  async requestPermission(): Promise<void> {
    const answer = await Notification.requestPermission().catch(() => 'denied' as const);
    this.permission = answer === 'granted' ? 'on' : 'denied';
  }

  /** Shows the notification once, and only if the page is hidden. */
  show(text: string): void {
    if (this.permission !== 'on') return;
    this.permission = 'off';
    if (document.visibilityState === 'visible') return;
    try {
      const notification = new Notification(text, { icon: '/icon.svg', tag: 'maju-found' });
      notification.onclick = () => {
        window.focus();
        notification.close();
      };
    } catch {
      // Some phones allow it only to service workers.
    }
  }
}

export const notify = new Notify();
