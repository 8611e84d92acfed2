//! The name of a person: colour and animal in the reader's language.
import { t, type Key } from '../i18n';
import { ko } from '../i18n/ko';
import type { Face } from '../wire/frames';

/** Returns "초록 수달" or "Green Otter" in the reader's language. A chosen name stays as it is. */
export function aliasOf(face: Face): string {
  const animal = `animal.${face.animal}`;
  const color = `color.${face.color}`;
  if (face.animal === null || !isKey(animal) || !isKey(color)) return face.name;
  return t('alias', { color: plain(color), animal: plain(animal) });
}

const isKey = (key: string): key is Key => key in ko;

/** Translates a key without placeholders, such as a colour or an animal. */
const plain = (key: Key): string => (t as (key: Key) => string)(key);
