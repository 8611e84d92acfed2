//! Computes the contrast of every pair of tokens in light and dark. Fails if one is below its
//! minimum.
import { readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const TOKENS = new URL('../src/styles/tokens.css', import.meta.url);
const HUES = ['pine', 'persimmon', 'plum', 'indigo', 'ochre', 'sky', 'moss', 'rose'];

/**
 * Foreground, background and the required ratio (WCAG 2.2: 4.5 for text, 3 for control borders, 7
 * for running text).
 */
export const PAIRS = [
  ...['bg', 'surface', 'surface-2'].map((ground) => ['text', ground, 7]),
  ...['text-2', 'text-3', 'primary', 'accent', 'danger'].flatMap((ink) =>
    ['bg', 'surface', 'surface-2'].map((ground) => [ink, ground, 4.5]),
  ),
  ...['info', 'success'].map((ink) => [ink, 'bg', 4.5]),
  ...['line-strong', 'focus'].flatMap((ink) => ['bg', 'surface'].map((ground) => [ink, ground, 3])),
  ['focus', 'surface-2', 3],
  ['on-primary', 'primary', 4.5],
  ['on-primary', 'primary-hover', 4.5],
  ['on-primary-soft', 'primary-soft', 4.5],
  ['on-accent', 'accent', 4.5],
  ['on-danger', 'danger', 4.5],
  ['warn-text', 'warn-bg', 4.5],
  ['on-bubble-me', 'bubble-me', 4.5],
  ['meta-me', 'bubble-me', 4.5],
  ['bg', 'text', 7], // the note below an armed Next button
  ...HUES.flatMap((hue) => ['bg', 'surface', 'surface-2'].map((ground) => [`hue-${hue}`, ground, 4.5])),
];

/** Returns the colours of a style sheet: name → [light, dark]. */
export function tokensOf(css) {
  const tokens = new Map();
  for (const [, name, light, dark] of css.matchAll(/--([\w-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)/gi)) {
    tokens.set(name, [light, dark]);
  }
  return tokens;
}

function luminance(hex) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Returns the contrast ratio of WCAG 2, 1 to 21. */
export function ratio(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** Returns the result of every pair in both themes. A missing token has the ratio 0. */
export function audit(css) {
  const tokens = tokensOf(css);
  return PAIRS.flatMap(([ink, ground, least]) =>
    ['light', 'dark'].map((theme, at) => {
      const [one, other] = [tokens.get(ink)?.[at], tokens.get(ground)?.[at]];
      const got = one && other ? ratio(one, other) : 0;
      return { ink, ground, theme, least, got, ok: got >= least };
    }),
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const found = audit(readFileSync(fileURLToPath(TOKENS), 'utf8'));
  const bad = found.filter(({ ok }) => !ok);
  for (const { ink, ground, theme, least, got } of bad)
    console.log(`${theme}: ${ink} on ${ground} is ${got.toFixed(2)}, needs ${least}`);
  const lowest = Math.min(...found.map(({ got, least }) => got / least));
  console.log(
    `contrast: ${found.length - bad.length} of ${found.length} pairs pass; the closest has ${((lowest - 1) * 100).toFixed(0)} % to spare`,
  );
  process.exit(bad.length > 0 ? 1 : 0);
}
