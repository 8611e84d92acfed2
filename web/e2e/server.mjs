//! Starts the real server with its own data folder on a free port, and stops it by its process id.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, createWriteStream, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const BINARY = resolve(
  process.env.MAJU_BIN ?? fileURLToPath(new URL('../../target/debug/maju', import.meta.url)),
);
/** The first start creates the database, which takes a while on a busy machine. */
const START_MS = 90_000;
const STOP_MS = 20_000;

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

export class Server {
  #child = null;
  #exited = null;

  static async start(results) {
    if (!existsSync(BINARY))
      throw new Error(`${BINARY} is missing: build it with \`cargo build\`, or name another with MAJU_BIN`);
    const server = new Server();
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    server.folder = mkdtempSync(join(tmpdir(), 'maju-e2e-'));
    // Started by root, Postgres runs as another user, who needs access.
    chmodSync(server.folder, 0o755);
    server.logFile = join(results, 'server.log');
    await server.up();
    return server;
  }

  /** Starts the server, also again, with the same folder and port. */
  async up() {
    const log = createWriteStream(this.logFile, { flags: 'a' });
    const child = spawn(BINARY, ['serve', '--listen', `127.0.0.1:${this.port}`, '--data-dir', this.folder], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    this.#child = child;
    this.#exited = once(child, 'exit');
    const until = Date.now() + START_MS;
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the server ended at its start: see ${this.logFile}`);
      const ready = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2_000) }).then(
        (answer) => answer.ok,
        () => false,
      );
      if (ready) return;
      if (Date.now() > until)
        throw new Error(`the server was not ready after ${START_MS / 1000} s: see ${this.logFile}`);
      await sleep(50);
    }
  }

  /** Creates an account for staff, as an operator does from a shell. */
  addStaff(handle, role, password) {
    const args = ['admin', 'add', handle, '--role', role, '--password-stdin', '--data-dir', this.folder];
    execFileSync(BINARY, args, { input: `${password}\n`, stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** Kills the server without a shutdown. */
  async kill() {
    process.kill(this.#child.pid, 'SIGKILL');
    await this.#exited;
  }

  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      process.kill(this.#child.pid, 'SIGTERM');
      await Promise.race([this.#exited, sleep(STOP_MS)]);
      if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill();
    }
    rmSync(this.folder, { recursive: true, force: true });
    return this.#child.exitCode;
  }
}
