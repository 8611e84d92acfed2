//! A notification when somebody comes, for who looks elsewhere meanwhile: asked for only on a press.

export type Wish = 'no' | 'on' | 'refused';

export class Notify {
  wish = $state<Wish>('no');

  get possible(): boolean {
    return typeof Notification !== 'undefined';
  }

  async ask(): Promise<void> {
    const answer = await Notification.requestPermission().catch(() => 'denied' as const);
    this.wish = answer === 'granted' ? 'on' : 'refused';
  }

  /** Said once, and only to somebody who does not look. */
  tell(text: string): void {
    if (this.wish !== 'on') return;
    this.wish = 'no';
    if (document.visibilityState === 'visible') return;
    try {
      const note = new Notification(text, { icon: '/icon.svg', tag: 'maju-found' });
      note.onclick = () => {
        window.focus();
        note.close();
      };
    } catch {
      // Some phones allow it only to service workers.
    }
  }
}

export const notify = new Notify();
