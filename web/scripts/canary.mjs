//! Checks that the type checker finds errors: it must report the three planted in `canary/`, and no
//! others.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const web = fileURLToPath(new URL('..', import.meta.url));
const PLANTED = ["Type 'string' is not assignable to type 'number'", 'no.such.key', 'Expected 2 arguments, but got 1'];

const checked = spawnSync(
  process.execPath,
  [
    'node_modules/svelte-check/bin/svelte-check',
    '--workspace',
    'canary',
    '--tsconfig',
    './tsconfig.json',
    '--output',
    'machine',
  ],
  { cwd: web, encoding: 'utf8' },
);
const errors = checked.stdout.split('\n').filter((line) => / ERROR "/.test(line));
const silent = PLANTED.filter((planted) => !errors.some((line) => line.includes(planted)));
if (checked.status === 0 || silent.length > 0 || errors.length !== PLANTED.length) {
  console.error(
    `the type checker did not report what was planted:\n${silent.join('\n')}\nit said:\n${checked.stdout}${checked.stderr}`,
  );
  process.exit(1);
}
console.log(`canary: all ${PLANTED.length} planted errors were found`);
