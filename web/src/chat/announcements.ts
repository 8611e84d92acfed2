//! What a screen reader announces and what a notification shows while somebody chats.
import { aliasOf } from '../accounts/alias';
import { t } from '../i18n';
import { alerts } from '../talk/alerts.svelte';
import type { Talk } from '../talk/talk.svelte';
import { announcer } from '../ui/announcer.svelte';
import { notify } from '../ui/notify.svelte';
import { playSoft } from '../ui/sound';
import type { Face } from '../wire/frames';

export const announcements = {
  /**
   * A partner was found. While the page is hidden also a soft sound, and a notification if the
   * person asked for one.
   */
  matched(partner: Face): void {
    const sentence = t('seek.met', { name: aliasOf(partner) });
    announcer.announce(sentence);
    notify.show(sentence, 'maju-found');
    if (document.visibilityState !== 'visible') playSoft();
  },

  /**
   * A message of the partner arrived. While the page is hidden also a soft sound, and a notification
   * if the person asked for one.
   */
  message(talk: Talk, text: string): void {
    const name = aliasOf(talk.partner);
    announcer.announceMessage(name, text);
    alerts.message(name);
  },

  /** The partner lost the connection or is back. */
  partnerState(talk: Talk, state: 'away' | 'back'): void {
    announcer.announce(t(state, { name: aliasOf(talk.partner) }));
  },

  /**
   * The talk ended. Not announced if the heading with the same sentence takes the focus, because a
   * screen reader reads what has the focus.
   */
  ended(talk: Talk): void {
    // The focus moves when the end is on the screen.
    setTimeout(() => {
      const sentence = endSentence(talk);
      if (document.activeElement?.textContent.trim() !== sentence) announcer.announce(sentence);
    }, 0);
  },
};

/**
 * Returns how a talk ended, as a sentence. Never reveals to the partner who reported or blocked.
 */
export function endSentence(talk: Talk): string {
  const name = aliasOf(talk.partner);
  if (talk.safety.reported)
    return talk.endedBy === 'report' && talk.safety.blocked ? t('end.reported') : t('end.reported.only');
  if (talk.safety.blocked) return t('end.blocked');
  if (talk.safety.undone) return t('undo.done');
  if (talk.leftByMe) return t('end.by_me');
  if (talk.endedBy === 'left' || talk.endedBy === 'next') return t('end.left', { name });
  if (talk.endedBy === 'lost') return t('end.lost');
  if (talk.endedBy === 'moderator') return t('end.moderator');
  return t('end.over');
}
