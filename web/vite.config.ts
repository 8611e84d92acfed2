//! The build: four entries (the chat, and the scripts of the landing page, the account pages and the back-office),
//! hashed names, a brotli copy of each file.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const outDir = resolve(process.env.MAJU_WEB_OUT ?? 'dist');

/** Smaller files save less than their header costs. */
const MIN_PACKED_BYTES = 1024;

/**
 * Writes `name.br` beside every text file of the build, so that the server does not compress at run
 * time.
 */
function brotli(): Plugin {
  return {
    name: 'maju-brotli',
    apply: 'build',
    closeBundle: {
      sequential: true,
      order: 'post',
      async handler() {
        const entries = await readdir(outDir, { recursive: true, withFileTypes: true });
        await Promise.all(
          entries
            .filter((entry) => entry.isFile() && /\.(html|js|css|svg|json|webmanifest|txt)$/.test(entry.name))
            .map((entry) => pack(join(entry.parentPath, entry.name))),
        );
      },
    },
  };
}

async function pack(path: string): Promise<void> {
  const bytes = await readFile(path);
  if (bytes.length < MIN_PACKED_BYTES) return;
  const packed = brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });
  await writeFile(`${path}.br`, packed);
}

export default defineConfig({
  base: '/',
  plugins: [svelte(), brotli()],
  // Component tests run in jsdom, which needs the browser build of Svelte.
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
  build: {
    outDir,
    emptyOutDir: true,
    manifest: true,
    target: 'es2022',
    assetsDir: 'assets',
    // Inlined assets would be `data:` addresses, which the content security policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: {
        app: resolve('index.html'),
        landing: resolve('src/landing/main.ts'),
        account: resolve('src/account/main.ts'),
        admin: resolve('src/admin/main.ts'),
      },
    },
  },
  server: {
    host: '127.0.0.1',
    proxy: {
      '/api': { target: 'http://127.0.0.1:8080' },
      '/ws': { target: 'ws://127.0.0.1:8080', ws: true },
    },
  },
  test: {
    environment: 'jsdom',
    // A test that draws many times takes seconds on a busy machine.
    testTimeout: 30_000,
    include: ['src/**/*.test.ts', 'scripts/**/*.test.ts'],
    coverage: { include: ['src/**'], exclude: ['src/**/*.test.ts', 'src/wire/generated/**', 'src/landing/**'] },
  },
});
