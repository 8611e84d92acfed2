//! Deliberately wrong, as its neighbour: a key that no dictionary has, and a placeholder left out.
import { t } from '../src/i18n';

export const missing = t('no.such.key', {});
export const unfilled = t('typing');
