#!/usr/bin/env node
// Checks the API against its description with schemathesis: it sends each route what the
// description allows and what it forbids, and every answer must be as described. The first argument
// is the server's binary. The server runs on a free port with its own data folder, and is stopped at
// the end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const tool = join(root, 'target/schemathesis/bin/schemathesis');
const binary = process.argv[2];
const EXAMPLES = 30;
const SEED = 12;

if (!binary || !fs.existsSync(tool)) {
  console.error(binary ? 'schemathesis is missing: run `make needs`' : 'usage: .ci/schema.mjs <maju>');
  process.exit(1);
}

const folder = fs.mkdtempSync(join(os.tmpdir(), 'maju-schema-'));
fs.chmodSync(folder, 0o755); // the user that runs Postgres needs access
const listener = net.createServer().listen(0, '127.0.0.1');
await once(listener, 'listening');
const { port } = listener.address();
listener.close();
const base = `http://localhost:${port}`;
const log = fs.openSync(join(folder, 'log'), 'w');
const settings = ['--listen', `127.0.0.1:${port}`, '--data-dir', join(folder, 'data'), '--limits', 'off'];
const server = spawn(binary, ['serve', ...settings], { stdio: ['ignore', log, log] });
let stopped = false;
const ended = once(server, 'exit').then(() => (stopped = true));

async function ready() {
  const until = Date.now() + 60_000;
  while (!(await fetch(`${base}/readyz`).then((answer) => answer.ok, () => false))) {
    if (stopped || Date.now() > until) throw new Error(`the server did not start:\n${fs.readFileSync(join(folder, 'log'), 'utf8')}`);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

/** Creates a visitor who has accepted the rules. Returns the headers for that visitor's requests. */
async function visitor() {
  const first = await fetch(`${base}/api/v1/me`);
  const cookie = first.headers.get('set-cookie').split(';')[0];
  const rules = (await first.json()).rules.current;
  const headers = { cookie, origin: base };
  const body = JSON.stringify({ rules, adult: true });
  const accepted = await fetch(`${base}/api/v1/me`, { method: 'PATCH', headers: { ...headers, 'content-type': 'application/json' }, body });
  if (!accepted.ok) throw new Error(`the rules were not accepted: ${accepted.status}`);
  return headers;
}

try {
  await ready();
  const headers = Object.entries(await visitor()).flatMap(([name, value]) => ['--header', `${name}: ${value}`]);
  const options = ['--max-examples', EXAMPLES, '--seed', SEED, '--generation-database', 'none', '--no-color', ...headers];
  const config = join(root, '.ci/schemathesis.toml');
  const asking = spawn(tool, ['--config-file', config, 'run', `${base}/api/openapi.json`, ...options.map(String)], { cwd: folder, stdio: 'inherit' });
  const [code] = await once(asking, 'exit');
  process.exitCode = code ?? 1;
} catch (error) {
  console.error(`schema: ${error.message}`);
  process.exitCode = 1;
} finally {
  if (!stopped) server.kill('SIGTERM');
  await ended;
  fs.rmSync(folder, { recursive: true, force: true });
}
