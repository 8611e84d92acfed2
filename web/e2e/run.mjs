//! Runs every walk against the real server in a real browser, one after the other, and counts. `node e2e/run.mjs [part of a name]`
import { mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { House, openBrowser } from './browser.mjs';
import { Server } from './server.mjs';
import { axeWalks } from './axe.mjs';
import { imeWalks } from './ime.mjs';
import { keyboardWalks } from './keyboard.mjs';
import { lossWalks } from './loss.mjs';
import { meetWalks } from './meet.mjs';
import { pageWalks } from './page.mjs';
import { refusalsWalks } from './refusals.mjs';
import { textsWalks } from './texts.mjs';
import { waysWalks } from './ways.mjs';

const WALKS = {
  ...meetWalks,
  ...lossWalks,
  ...waysWalks,
  ...refusalsWalks,
  ...textsWalks,
  ...imeWalks,
  ...keyboardWalks,
  ...pageWalks,
  ...axeWalks,
};
const LIMIT_MS = process.env.E2E_GRID === 'full' ? 600_000 : 120_000;

const results = fileURLToPath(new URL('../test-results', import.meta.url));
rmSync(results, { recursive: true, force: true });
mkdirSync(results, { recursive: true });

const wanted = process.argv[2]?.toLowerCase() ?? '';
const chosen = Object.entries(WALKS).filter(([name]) => name.toLowerCase().includes(wanted));
const server = await Server.start(results);
const browser = await openBrowser();
let failed = 0;

for (const [at, [name, walk]] of chosen.entries()) {
  const house = new House(browser, server, results);
  const began = Date.now();
  let timer;
  try {
    const late = new Promise((_, refuse) => {
      timer = setTimeout(() => refuse(new Error(`not done after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
    });
    await Promise.race([walk(house, `walk ${at + 1}`), late]);
    const complaints = house.complaints();
    if (complaints.length > 0) throw new Error(`the page complains:\n${complaints.join('\n')}`);
    console.log(`ok    ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    await house.photograph(`failed-${at + 1}`);
    console.log(`FAIL  ${name}\n      ${String(error.stack ?? error).replaceAll('\n', '\n      ')}`);
  } finally {
    clearTimeout(timer);
    await house.empty();
  }
}

await browser.close();
const code = await server.stop();
if (code !== 0) {
  failed++;
  console.log(`FAIL  the server ended with ${code} after SIGTERM: see ${server.logFile}`);
}
console.log(`e2e: ${chosen.length + (code === 0 ? 0 : 1) - failed} passed, ${failed} failed`);
process.exit(failed > 0 || chosen.length === 0 ? 1 : 0);
