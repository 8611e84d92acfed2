//! With E2E_DIST=dist the browser loads the client from that folder and everything else from the
//! server.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const folder = process.env.E2E_DIST ? resolve(process.env.E2E_DIST) : null;

export async function serveDist(context) {
  if (folder === null) return;
  await context.route('**/assets/*', (route) => {
    const path = join(folder, new URL(route.request().url()).pathname);
    return existsSync(path) ? route.fulfill({ path }) : route.continue();
  });
  await context.route(/\/chat(\/|$|\?)/, async (route) => {
    if (!route.request().isNavigationRequest()) return route.continue();
    const served = await route.fetch().catch(() => null);
    if (served === null) return route.abort('connectionrefused');
    const [htmlTag] = (await served.text()).match(/<html[^>]*>/) ?? [];
    return route.fulfill({
      response: served,
      body: readFileSync(join(folder, 'index.html'), 'utf8').replace(/<html[^>]*>/, htmlTag),
    });
  });
}
