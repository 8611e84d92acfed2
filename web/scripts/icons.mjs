//! Draws the icons of the web manifest from the mark: `npm run icons`. The results are committed, so
//! a build needs no browser.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openBrowser } from '../e2e/browser.mjs';

const templates = fileURLToPath(new URL('../../src/cms/templates', import.meta.url));
const mark = readFileSync(`${templates}/mark.svg`, 'utf8');

/**
 * A maskable icon fills its square, and its mark stays inside the circle that every mask leaves
 * (80 % of the width). The other one has round corners of its own.
 */
const KINDS = [
  { name: 'icon', share: 0.68, radius: 0.22 },
  { name: 'icon-maskable', share: 0.56, radius: 0 },
];
const SIZES = [192, 512];

const browser = await openBrowser();
for (const { name, share, radius } of KINDS) {
  for (const size of SIZES) {
    const page = await browser.newPage({ viewport: { width: size, height: size } });
    await page.setContent(
      `<style>body{margin:0}div{display:grid;place-items:center;width:${size}px;height:${size}px;
       background:#fbf9f4;border-radius:${radius * size}px}svg{width:${share * size}px}</style><div>${mark}</div>`,
    );
    await page.screenshot({ path: `${templates}/${name}-${size}.png`, omitBackground: true });
    await page.close();
  }
}
await browser.close();
