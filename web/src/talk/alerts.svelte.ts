//! What tells a person who looks at another window that a message arrived: a soft sound, and a
//! notification if they asked for one.
import { t } from '../i18n';
import { Notify } from '../ui/notify.svelte';
import { playSoft, sound } from '../ui/sound';

export class Alerts {
  /** A sound for new messages is wanted, on this device. Stored. */
  audible = $state(!sound.muted);
  readonly notify = new Notify('maju.notify.messages');

  setAudible(audible: boolean): void {
    this.audible = audible;
    sound.muted = !audible;
    sound.prime(); // now, because some browsers allow sound only after a press
  }

  async setNotify(wanted: boolean): Promise<void> {
    if (wanted) await this.notify.turnOn();
    else this.notify.turnOff();
  }

  /** A message arrived. Shows only who wrote: others may see the screen of this device. */
  message(name: string): void {
    if (document.visibilityState === 'visible') return;
    this.notify.show(t('alerts.new', { name }), 'maju-message');
    playSoft();
  }
}

export const alerts = new Alerts();
