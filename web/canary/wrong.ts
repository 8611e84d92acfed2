//! Deliberately wrong: a key that no dictionary has, and a missing placeholder.
import { t } from '../src/i18n';

export const missing = t('no.such.key', {});
export const unfilled = t('typing');
