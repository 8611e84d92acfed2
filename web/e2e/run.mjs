//! Runs the walks against the real server in a real browser, one after the other: `node e2e/run.mjs
//! [part of a name]`.
import { mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Fixture, openBrowser } from './browser.mjs';
import { Server } from './server.mjs';
import { accountWalks } from './account.mjs';
import { arrivalWalks } from './arrival.mjs';
import { axeWalks } from './axe.mjs';
import { editorWalks } from './editor.mjs';
import { imeWalks } from './ime.mjs';
import { keyboardWalks } from './keyboard.mjs';
import { recoveryWalks } from './recovery.mjs';
import { talkWalks } from './talk.mjs';
import { pageWalks } from './page.mjs';
import { sitePagesWalks } from './pages.mjs';
import { refusalsWalks } from './refusals.mjs';
import { textsWalks } from './texts.mjs';
import { leavingWalks } from './leaving.mjs';
import { lobbyWalks } from './lobby.mjs';
import { chatWalks } from './chat.mjs';
import { topicsWalks } from './topics.mjs';
import { presenceWalks } from './presence.mjs';
import { lookWalks } from './look.mjs';
import { sessionWalks } from './session.mjs';
import { imagesWalks } from './images.mjs';
import { deskWalks } from './desk.mjs';

const WALKS = {
  ...talkWalks,
  ...recoveryWalks,
  ...leavingWalks,
  ...chatWalks,
  ...topicsWalks,
  ...presenceWalks,
  ...refusalsWalks,
  ...textsWalks,
  ...imeWalks,
  ...keyboardWalks,
  ...lobbyWalks,
  ...lookWalks,
  ...sessionWalks,
  ...pageWalks,
  ...sitePagesWalks,
  ...arrivalWalks,
  ...accountWalks,
  ...imagesWalks,
  ...deskWalks,
  ...editorWalks,
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
  const fixture = new Fixture(browser, server, results);
  const began = Date.now();
  let timer;
  try {
    const timeout = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
    });
    await Promise.race([walk(fixture, `walk ${at + 1}`), timeout]);
    const pageErrors = fixture.pageErrors();
    if (pageErrors.length > 0) throw new Error(`the page has errors:\n${pageErrors.join('\n')}`);
    console.log(`ok    ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    await fixture.screenshot(`failed-${at + 1}`);
    console.log(`FAIL  ${name}\n      ${String(error.stack ?? error).replaceAll('\n', '\n      ')}`);
  } finally {
    clearTimeout(timer);
    await fixture.closeAll();
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
