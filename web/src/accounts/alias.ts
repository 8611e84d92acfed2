//! The name and the tile of a person: colour and animal in the reader's language, and a shape.
import { t, type Key } from '../i18n';
import { ko } from '../i18n/ko';
import { COLORS, type Face } from '../wire/frames';

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

/**
 * The shapes of the tiles, on a square of 32 units. Two people differ in shape as well as in
 * colour.
 */
export const SHAPES = [
  'M8 25V15a8 8 0 0 1 16 0v10z',
  'M16 6l10 10-10 10L6 16z',
  'M8 8h16A16 16 0 0 1 8 24z',
  'M16 7l9.5 17h-19z',
  'M8 24V15a7 7 0 0 1 7-7h9v9a7 7 0 0 1-7 7z',
  'M16 7a9 9 0 0 1 0 18 9 9 0 0 1 0-18z',
  'M7.5 8h4.5v16H7.5zM14 13h4.5v11H14zM20.5 10h4.5v14h-4.5z',
  'M11 7.5h10l5 8.5-5 8.5H11L6 16z',
  'M7 7h8v8H7zM17 17h8v8h-8zM17 7h8v8h-8z',
] as const;

/** Returns the shape of a face. It is the same on every device. */
export function shapeOf(face: Face): string {
  let hash = 7;
  for (const character of face.animal ?? face.name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return SHAPES[(hash + COLORS.indexOf(face.color)) % SHAPES.length] ?? SHAPES[0];
}
