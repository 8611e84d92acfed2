#!/usr/bin/env node
// Load on the optimised build, with bare servers beside it in the same run: ratios are what is kept (docs/BENCHMARKS.md).
// usage: bench.mjs [pairing|idle|pairs|leaves|fanout|match|storm|slow|nodes ...]   (all by default)
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '..');
const bin = (name) => join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release', name);
const work = fs.mkdtempSync(join(os.tmpdir(), 'maju-load-'));
fs.chmodSync(work, 0o755);
const started = new Set();
process.on('exit', () => {
  for (const child of started) child.kill('SIGKILL');
  fs.rmSync(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

const wanted = process.argv.slice(2);
const does = (name) => wanted.length === 0 || wanted.includes(name);
const REPEATS = 3;
// Comparisons with a bare server, one after the other.
const TURNS = 5;
const VISITORS = 4000;
const ROOMS = 2000;

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

function launch(program, args) {
  const log = fs.openSync(join(work, 'log'), 'a');
  const child = spawn(program, args, { stdio: ['ignore', log, log] });
  started.add(child);
  child.once('exit', () => started.delete(child));
  return child;
}

/** Waits until a child listens on its port. Nodes would start without their Redis, and what crosses would cross late. */
async function answers(child, port) {
  for (;;) {
    if (child.exitCode !== null) throw new Error(fs.readFileSync(join(work, 'log'), 'utf8'));
    const socket = net.connect(port, '127.0.0.1');
    const said = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'close').then(() => false)]).catch(() => false);
    socket.destroy();
    if (said) return;
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

async function stop(child) {
  child.kill('SIGTERM');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

async function maju(...more) {
  const port = await freePort();
  const data = join(work, 'data');
  const child = launch(bin('maju'), ['serve', '--listen', `127.0.0.1:${port}`, '--data-dir', data, '--limits', 'off', ...more]);
  const base = `http://127.0.0.1:${port}`;
  while (!(await fetch(`${base}/readyz`).then((answer) => answer.ok).catch(() => false))) {
    if (child.exitCode !== null) throw new Error(fs.readFileSync(join(work, 'log'), 'utf8'));
    await new Promise((wake) => setTimeout(wake, 50));
  }
  const postmaster = Number(fs.readFileSync(join(data, 'pg', 'postmaster.pid'), 'utf8').split('\n')[0]);
  return { child, base, port, postmaster, socket: join(data, 'run') };
}

async function load(scenario, options) {
  const args = [scenario, ...Object.entries(options).map(([name, value]) => `${name}=${value}`)];
  const { stdout } = await run(bin('load'), args, { maxBuffer: 1 << 24 });
  return stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const of = (phases, mode, field) => median(phases.filter((phase) => phase.mode === mode).map((phase) => phase[field]));
const say = (text) => console.log(text);
/** CPU a message, of a server and of what is counted beside it. */
const total = (phases) => of(phases, 'closed', 'cpu_s_per_M') + of(phases, 'closed', 'back_cpu_s_per_M');
/** The middle one of what was measured in turn, and how far apart they were. */
const spread = (list) => `${median(list).toFixed(2)} (${Math.min(...list).toFixed(2)} to ${Math.max(...list).toFixed(2)})`;

if (does('pairing')) {
  const { stdout } = await run(bin('pairing'), []);
  for (const round of stdout.trim().split('\n').map((line) => JSON.parse(line))) {
    say(`pairing in memory, ${round.people} wait, ${round.crowd}: ${round.pairs} pairs (${round.shared} share an interest) in ${round.ms} ms: ${round.pairs_s} pairs/s`);
  }
  if (wanted.length === 1) process.exit();
}

const server = await maju();
const file = join(work, 'people.txt');
await run(process.execPath, [join(import.meta.dirname, 'prepare.mjs'), server.base, VISITORS, ROOMS, file]);
const own = { driver: 'maju', arg: file, addr: `127.0.0.1:${server.port}`, pids: server.child.pid, label: 'maju' };

async function bare(program, port, ...rest) {
  const child = launch(bin(program), [`127.0.0.1:${port}`, ...rest]);
  await answers(child, port);
  return child;
}

/** The memory of one process, its share of what it shares included, in KiB. */
const pss = (pid) => Number(/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);

// First: what other loads have left would be counted as free.
if (does('idle')) {
  const count = Number(process.env.IDLE ?? 10000);
  // Of the server's own process: the load's figure counts Postgres, a child of it, too.
  const before = pss(server.child.pid);
  let most = before;
  const sampling = setInterval(() => (most = Math.max(most, pss(server.child.pid))), 500);
  const [idle] = await load('idle', { ...own, n: count, settle: 4 });
  clearInterval(sampling);
  const each = (most - before) / idle.ready;
  say(`idle joined sockets: ${idle.ready} of ${count}, ${each.toFixed(2)} KiB each (PSS); ${idle.conn_s} connects with hello and join a second`);
}

if (does('pairs')) {
  const port = await freePort();
  const yard = await bare('axumpg', port, `host=${server.socket} user=maju dbname=maju`, '4', '500');
  const common = { rooms: ROOMS, secs: 3, reps: 1 };
  const theirs = { ...common, driver: 'hello', addr: `127.0.0.1:${port}`, pids: yard.pid, back: server.postmaster, label: 'axumpg' };
  // In turn, and each ratio of neighbours: a machine that changes its mind does so to both.
  const turns = [];
  for (let turn = 0; turn < TURNS; turn++) turns.push([await load('pairs', { ...own, ...common }), await load('pairs', theirs)]);
  const [ours, bares] = [turns.flatMap(([one]) => one), turns.flatMap(([, one]) => one)];
  const [rate, bareRate] = [of(ours, 'closed', 'sent_s'), of(bares, 'closed', 'sent_s')];
  // Ours counts its own Postgres, a child of it; the bare server's is counted beside it.
  const [cpu, bareCpu] = [total(ours), total(bares)];
  const ratios = (field) => spread(turns.map(([one, two]) => field(one) / field(two)));
  say(`persisted pairs, ${ROOMS} rooms: ${rate} acked msg/s; axumpg ${bareRate}; ratio ${ratios((phases) => of(phases, 'closed', 'sent_s'))}`);
  say(`  server and Postgres: ${cpu.toFixed(1)} µs of CPU a message; axumpg ${bareCpu.toFixed(1)}; ratio ${ratios(total)}`);
  say(`  saturated p50/p99: ${of(ours, 'closed', 'p50_ms')}/${of(ours, 'closed', 'p99_ms')} ms; axumpg ${of(bares, 'closed', 'p50_ms')}/${of(bares, 'closed', 'p99_ms')} ms`);
  // The first open phase of each is the fixed rate; the second is seven tenths of what was just reached, where no socket waits for
  // another and less goes out together: ours does not always keep up.
  const fixed = (phases) => phases.filter((phase, at) => phase.mode === 'open' && phases[at - 1].mode === 'closed');
  const pressed = (phases) => phases.filter((phase, at) => phase.mode === 'open' && phases[at - 1].mode === 'open');
  const calm = ours.filter((phase) => !pressed(ours).includes(phase));
  say(`  delivered: ${Math.min(...calm.map((phase) => phase.got_pct))} % at least; dead sockets ${ours.reduce((sum, phase) => sum + phase.dead, 0)}`);
  const tail = (phases) => `${median(phases.map((phase) => phase.sent_s))} a second: ${median(phases.map((phase) => phase.p50_ms))}/${median(phases.map((phase) => phase.p99_ms))} ms, ${median(phases.map((phase) => phase.got_pct))} % within the measurement`;
  say(`  pressed with seven tenths, all at their own time: ${tail(pressed(ours))}; axumpg ${tail(pressed(bares))}`);
  const open = (phases) => `${median(fixed(phases).map((phase) => phase.p50_ms))}/${median(fixed(phases).map((phase) => phase.p99_ms))} ms`;
  say(`  at ${median(fixed(ours).map((phase) => phase.sent_s))} a second p50/p99: ${open(ours)}; axumpg ${open(bares)}`);
  await stop(yard);
}

if (does('leaves')) {
  // Others, in other rooms.
  const [rate, seconds, leavers] = [1000, 24, join(work, 'leavers.txt')];
  await run(process.execPath, [join(import.meta.dirname, 'prepare.mjs'), server.base, 64, 500, leavers]);
  const common = { ...own, rooms: ROOMS, secs: 3, reps: REPEATS, open: 0 };
  const [still, leaving, left] = [[], [], []];
  const calmly = async () => still.push(await load('pairs', common));
  const besides = async () => {
    const child = spawn(bin('leaves'), [leavers, `host=${server.socket} user=maju dbname=maju`, rate, seconds], { stdio: ['ignore', 'pipe', 'inherit'] });
    started.add(child);
    let said = '';
    await new Promise((ready) => child.stdout.on('data', (text) => (said += text).startsWith('ready') && ready()));
    leaving.push(await load('pairs', common));
    if (child.exitCode !== null) throw new Error('the leaving ended before the load: its figures are of less');
    await once(child, 'close');
    started.delete(child);
    left.push(JSON.parse(said.trim().split('\n').at(-1)));
  };
  // Now this first, now that: a machine that slows down meanwhile favours neither.
  for (let turn = 0; turn < 6; turn++) {
    for (const one of turn % 2 ? [besides, calmly] : [calmly, besides]) await one();
  }
  const sent = (turns) => turns.map((turn) => of(turn, 'closed', 'sent_s'));
  const ratios = sent(leaving).map((one, turn) => one / sent(still)[turn]);
  const [without, with_] = [sent(still), sent(leaving)].map(median);
  say(`persisted pairs, ${ROOMS} rooms: ${without} acked msg/s; ${with_} while ${median(left.map((one) => one.leaves_s))} others a second leave other rooms; ratio ${spread(ratios)}`);
  say(`  leave p50/p99: ${left.map((one) => `${one.p50_ms.toFixed(1)}/${one.p99_ms.toFixed(1)} ms`).join(', ')}; failed ${left.reduce((sum, one) => sum + one.failed, 0)}`);
  say(`  server and Postgres: ${of(still.flat(), 'closed', 'cpu_s_per_M').toFixed(1)} µs of CPU a message; ${of(leaving.flat(), 'closed', 'cpu_s_per_M').toFixed(1)} with the leaving counted in`);
}

if (does('fanout')) {
  const port = await freePort();
  const yard = await bare('axumws', port, 'best');
  const common = { subs: 1000, win: 8, secs: 2, reps: 1, frac: '0.5', fixed: 100 };
  const theirs = { ...common, driver: 'hello', addr: `127.0.0.1:${port}`, pids: yard.pid, label: 'axumws' };
  const turns = [];
  for (let turn = 0; turn < TURNS; turn++) turns.push([await load('fanout', { ...own, ...common }), await load('fanout', theirs)]);
  const [ours, bares] = [turns.flatMap(([one]) => one), turns.flatMap(([, one]) => one)];
  const ratios = (field) => spread(turns.map(([one, two]) => field(one) / field(two)));
  const rate = (phases) => of(phases, 'closed', 'deliv_s');
  const cpu = (phases) => of(phases, 'closed', 'cpu_s_per_M');
  say(`fan-out 1 x 1,000, persisted, saturated: ${rate(ours)} deliveries/s; axumws best ${rate(bares)} (not persisted); ratio ${ratios(rate)}`);
  say(`  ${cpu(ours).toFixed(2)} µs of CPU a delivery; axumws ${cpu(bares).toFixed(2)}; ratio ${ratios(cpu)}`);
  // The last open phase of each turn is the fixed rate.
  const fixed = (at) => turns.map((turn) => turn[at].filter((phase) => phase.mode === 'open').at(-1));
  const slow = (at, field) => median(fixed(at).map((phase) => phase[field]));
  const each = spread(fixed(0).map((phase, turn) => phase.cpu_s_per_M / fixed(1)[turn].cpu_s_per_M));
  say(`fan-out at ${slow(0, 'deliv_s')} deliveries/s: ${slow(0, 'cpu_s_per_M')} µs of CPU a delivery; axumws ${slow(1, 'cpu_s_per_M')}; ratio ${each}; p50/p99 ${slow(0, 'p50_ms')}/${slow(0, 'p99_ms')} ms`);
  await stop(yard);
}

if (does('match')) {
  for (const seekers of [400, 2000]) {
    const { stdout } = await run(bin('match'), [file, seekers, '4'], { maxBuffer: 1 << 24 });
    const rounds = stdout.trim().split('\n').map((line) => JSON.parse(line));
    if (rounds.some((round) => !round.two_in_each_room)) throw new Error('a room without two people');
    const [rate, p50, p99] = ['pairs_per_s', 'p50_ms', 'p99_ms'].map((field) => median(rounds.map((round) => round[field])));
    say(`match end to end, ${seekers} seek at once: ${rate} pairs/s, seek to told p50/p99 ${p50}/${p99} ms`);
  }
}

if (does('storm')) {
  // As many people as sockets; everybody is cut at once and comes back at once.
  const [count, big, people] = [Number(process.env.STORM ?? 10000), 1000, join(work, 'storm.txt')];
  await run(process.execPath, [join(import.meta.dirname, 'prepare.mjs'), server.base, count, 1 + (count - big) / 2, people]);
  const [storm] = await load('storm', { ...own, arg: people, n: count, big, pg: `host=${server.socket} user=maju dbname=maju` });
  if (storm.wrong || storm.dead || storm.heard_after_pct < 100) throw new Error(`not everybody got what was missed: ${JSON.stringify(storm)}`);
  say(`storm: ${storm.back} of ${count} sockets back with all they missed ${storm.all_s} s after all were cut (p50/p99 ${storm.p50_s}/${storm.p99_s} s), ${storm.at_once} at a time: ${storm.own_p50_ms}/${storm.own_p99_ms} ms from a socket's connect to the last entry it missed`);
  say(`  ${storm.missed_entries} entries in ${storm.replays} replays, ${storm.from_memory_pct} % from memory; wrong ${storm.wrong}; dead ${storm.dead}; heard the next message: ${storm.heard_after_pct} %`);
  say(`  ${storm.statements_each} transactions of Postgres and ${storm.cpu_us_each} µs of CPU (with Postgres's) a socket`);
}

if (does('slow')) {
  const secs = Number(process.env.SLOW_SECS ?? 60);
  const [slow] = await load('slow', { ...own, readers: 200, slow: 1000, rate: 50, secs });
  const delays = (phase) => `${phase.p50_ms}/${phase.p99_ms} ms, ${phase.heard_pct} % heard`;
  say(`slow readers: ${slow.slow} that do not read beside ${slow.readers} that do, ${secs} s: p50/p99 ${delays(slow.some)}; when all ${slow.readers + slow.slow} read ${delays(slow.all)}; the ${slow.readers} alone ${delays(slow.few)}`);
  say(`  let go of ${slow.let_go} in ${slow.rounds} rounds of ${slow.longest_round_s} s at most (${slow.told_4408} read why: 4408); memory ${slow.pss_mib} MiB before, ${slow.most_pss_mib} MiB at most; the kernel's buffers ${slow.most_kernel_mib} MiB at most`);
}

// Every pair is split: each message has to cross from one node to the other.
if (does('nodes')) {
  const redisPort = await freePort();
  const redis = launch('redis-server', ['--port', redisPort, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']);
  await answers(redis, redisPort);
  // Of the same site as the first: its people and rooms are used.
  const settings = ['--redis-url', `redis://127.0.0.1:${redisPort}`, '--public-url', server.base];
  const nodes = [await maju(...settings), await maju(...settings)];
  const rates = [4000, 8000, 16000];
  const common = { ...own, rooms: ROOMS, secs: 3, reps: REPEATS, open: 0, fixed: rates.join(',') };
  const both = { ...common, addr: nodes.map((node) => `127.0.0.1:${node.port}`).join(','), pids: nodes.map((node) => node.child.pid).join(','), back: `${server.postmaster},${redis.pid}` };
  // The first node's figure counts Postgres, a child of it; the two share that one, counted beside them with Redis.
  const layouts = {
    'one node': { ...common, pids: server.child.pid, back: '' },
    'two, people drawn to either (half of the pairs split)': { ...both, row: 0 },
    'two, every pair split': { ...both, row: 1 },
    'two, each pair on one of them, told to both all the same': { ...both, row: 2 },
  };
  const turns = Object.fromEntries(Object.keys(layouts).map((layout) => [layout, []]));
  for (let turn = 0; turn < REPEATS; turn++) {
    for (const [layout, options] of Object.entries(layouts)) turns[layout].push(await load('pairs', options));
  }
  const spent = (phases) => median(phases.map((phase) => phase.cpu_s_per_M + Math.max(0, phase.back_cpu_s_per_M)));
  const saturated = (turn) => turn.filter((phase) => phase.mode === 'closed');
  const steady = (at) => (turn) => [turn.filter((phase) => phase.mode === 'open')[at]];
  say('CPU of nodes, Postgres and Redis a message, each turn against one node in the same turn:');
  for (const [layout, all] of Object.entries(turns)) {
    const against = (pick) => spread(all.map((turn, at) => spent(pick(turn)) / spent(pick(turns['one node'][at]))));
    const figure = (name, pick) => `${name} ${median(all.map((turn) => spent(pick(turn)))).toFixed(1)} µs, × ${against(pick)}`;
    const [first, ...others] = [figure('saturated', saturated), ...rates.map((rate, at) => figure(`at ${rate}/s`, steady(at)))];
    const phases = all.flatMap(saturated);
    say(`  ${layout}: ${median(phases.map((phase) => phase.sent_s))} acked msg/s, p50/p99 ${median(phases.map((phase) => phase.p50_ms))}/${median(phases.map((phase) => phase.p99_ms))} ms, delivered ${Math.min(...all.flat().map((phase) => phase.got_pct))} % at least`);
    for (const line of [first, ...others]) say(`    ${line}`);
  }
  for (const node of nodes) await stop(node.child);
  await stop(redis);
}

await stop(server.child);
