#!/usr/bin/env node
// Measures the optimised build on this machine: starts, idle memory, sizes. Prints one `name: value` a line.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const binary = join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release/maju');
const work = fs.mkdtempSync(join(os.tmpdir(), 'maju-bench-'));
fs.chmodSync(work, 0o755);
process.on('exit', () => fs.rmSync(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** Starts a server and waits until it is ready. */
async function start() {
  const port = await freePort();
  const began = performance.now();
  const log = fs.openSync(join(work, 'log'), 'a');
  const args = ['serve', '--listen', `127.0.0.1:${port}`, '--data-dir', join(work, 'data')];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(MAJU_|DATABASE_URL$|REDIS_URL$)/.test(name)));
  const server = spawn(binary, args, { env, stdio: ['ignore', log, log] });
  for (;;) {
    if (server.exitCode !== null) throw new Error(`it did not start: ${fs.readFileSync(join(work, 'log'), 'utf8')}`);
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then((answer) => answer.ok).catch(() => false);
    if (ready) return { server, port, took: performance.now() - began };
    await new Promise((wake) => setTimeout(wake, 2));
  }
}

async function end({ server }, signal) {
  const began = performance.now();
  server.kill(signal);
  await once(server, 'exit');
  return performance.now() - began;
}

const ms = (value) => `${Math.round(value)} ms`;
const report = (name, value) => console.log(`${name}: ${value}`);

report('binary', `${(fs.statSync(binary).size / 2 ** 20).toFixed(1)} MiB`);
let node = await start();
report('first start to ready (unpack, make the database, migrate)', ms(node.took));
report('orderly stop', ms(await end(node, 'SIGTERM')));
node = await start();
report('next start to ready', ms(node.took));
if (process.platform === 'linux') {
  const status = fs.readFileSync(`/proc/${node.server.pid}/status`, 'utf8');
  report('idle memory of the server, without Postgres', `${(Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024).toFixed(1)} MiB`);
}
await end(node, 'SIGKILL');
node = await start();
report('start to ready at once after kill -9', ms(node.took));
const times = [];
for (let turn = 0; turn < 200; turn += 1) {
  const began = performance.now();
  await (await fetch(`http://127.0.0.1:${node.port}/`)).arrayBuffer();
  times.push(performance.now() - began);
}
times.sort((a, b) => a - b);
report('landing page, one after the other', `median ${times[100].toFixed(2)} ms, 99 % ${times[198].toFixed(2)} ms`);
await end(node, 'SIGTERM');
