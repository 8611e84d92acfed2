//! Measures the build against its budgets: first scripts, all scripts, each lazy chunk, style
//! sheets.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';

const KIB = 1024;

/**
 * In bytes of brotli 11. The first chat script is refused above its limit and named from `warn` on.
 */
export const BUDGETS = {
  landing: { limit: 6 * KIB, warn: 5 * KIB },
  account: { limit: 6 * KIB, warn: 5 * KIB },
  admin: { limit: 6 * KIB, warn: 5 * KIB },
  chat: { limit: 60 * KIB, warn: 50 * KIB },
  whole: { limit: 120 * KIB, warn: 115 * KIB },
  chunk: { limit: 30 * KIB, warn: 28 * KIB },
  css: { limit: 12 * KIB, warn: 11 * KIB },
};

/** What an entry loads before it runs: itself and all it imports, each once. */
export function closure(manifest, entry) {
  const seen = new Set();
  const visit = (name) => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const next of manifest[name]?.imports ?? []) visit(next);
  };
  visit(entry);
  return [...seen];
}

/** One line a budget: its name, the bytes, the limit. `sizeOf` answers for a file of the build. */
export function measure(manifest, sizeOf) {
  const sum = (files) => [...new Set(files)].reduce((total, file) => total + sizeOf(file), 0);
  const chunks = Object.values(manifest);
  const scripts = chunks.map((chunk) => chunk.file).filter((file) => file.endsWith('.js'));
  const lines = [];
  for (const [name, chunk] of Object.entries(manifest)) {
    if (!chunk.isEntry) continue;
    const parts = closure(manifest, name).map((part) => manifest[part]);
    const kinds = ['account', 'admin'];
    const kind = name === 'index.html' ? 'chat' : (kinds.find((part) => name.includes(part)) ?? 'landing');
    lines.push({
      name: `${kind}, first script`,
      bytes: sum(parts.map((part) => part.file).filter((file) => file.endsWith('.js'))),
      ...BUDGETS[kind],
    });
    lines.push({ name: `${kind}, sheets`, bytes: sum(parts.flatMap((part) => part.css ?? [])), ...BUDGETS.css });
  }
  for (const [name, chunk] of Object.entries(manifest)) {
    if (chunk.isDynamicEntry) lines.push({ name: `lazy ${name}`, bytes: sum([chunk.file]), ...BUDGETS.chunk });
  }
  lines.push({ name: 'all scripts', bytes: sum(scripts), ...BUDGETS.whole });
  return lines;
}

function main() {
  const folder = resolve(process.env.MAJU_WEB_OUT ?? 'dist');
  const listed = join(folder, '.vite/manifest.json');
  if (!existsSync(listed)) {
    console.error(`${listed} is missing: run \`npx vite build\` first`);
    process.exit(2);
  }
  const packed = (file) =>
    brotliCompressSync(readFileSync(join(folder, file)), { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
  let over = 0;
  for (const { name, bytes, limit, warn } of measure(JSON.parse(readFileSync(listed, 'utf8')), packed)) {
    const verdict = bytes > limit ? 'OVER' : bytes > warn ? 'near' : 'ok';
    if (bytes > limit) over++;
    console.log(`${verdict.padEnd(5)}${name.padEnd(24)}${(bytes / KIB).toFixed(1).padStart(7)} KiB of ${limit / KIB}`);
  }
  process.exit(over > 0 ? 1 : 0);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
