#!/usr/bin/env node
// Makes visitors and public rooms on a running Maju for the load: prepare.mjs <base> <visitors> <rooms> <file>.
import fs from 'node:fs';

const [base, visitors, rooms, file] = process.argv.slice(2);
const AT_ONCE = 64;

/** Runs `make` for 0..count, some at a time, and answers what it made in order. */
async function many(count, make) {
  const made = new Array(count);
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const n = next++;
      made[n] = await make(n);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
  return made;
}

async function call(path, method, headers, body) {
  const answer = await fetch(base + path, { method, headers: { origin: base, ...headers }, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

const cookies = await many(Number(visitors), async () => {
  const answer = await call('/api/v1/me', 'GET', {});
  const cookie = answer.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ');
  const { rules } = await answer.json();
  const accept = { rules: rules.current, adult: true };
  await call('/api/v1/me', 'PATCH', { cookie, 'content-type': 'application/json' }, accept);
  return cookie;
});
const ids = await many(Number(rooms), async (n) => {
  const room = { title: `load ${n}`, kind: 'public', naming: 'anonymous', history: true };
  const answer = await call('/api/v1/rooms', 'POST', { cookie: cookies[n % cookies.length], 'content-type': 'application/json' }, room);
  return (await answer.json()).id;
});
fs.writeFileSync(file, [base, ...cookies.map((cookie) => `V ${cookie}`), ...ids.map((id) => `R ${id}`)].join('\n') + '\n');
