//! The list of sessions stays where it is: a session that ends is marked in its row, and new ones are
//! counted on a button that shows them.

const EVERY_MS = 10_000;
/** The most sessions that one request answers. */
const LIMIT = 100;

/** What the list on the page and the answer differ in. */
export interface Difference {
  /** The sessions of the page that have ended. */
  gone: string[];
  /** How many of the answer the page does not have. */
  added: number;
}

/**
 * Compares the sessions on the page with those that are live, the newest first. `isWhole`: the answer
 * has all live ones, so that one that is missing has ended.
 */
export function compare(shown: string[], live: string[], isWhole: boolean): Difference {
  const known = new Set(shown);
  const alive = new Set(live);
  // Beyond the oldest of the answer nothing is known.
  const oldest = live.at(-1);
  const end = isWhole || oldest === undefined ? shown.length : shown.indexOf(oldest);
  const gone = shown.slice(0, end < 0 ? 0 : end).filter((id) => !alive.has(id));
  const firstKnown = live.findIndex((id) => known.has(id));
  return { gone, added: firstKnown < 0 ? live.length : firstKnown };
}

export function watchSessions(tools: HTMLElement): void {
  const rows = new Map(
    [...document.querySelectorAll<HTMLElement>('tr[data-session]')].map((row) => [row.dataset.session ?? '', row]),
  );
  const pause = document.createElement('button');
  pause.type = 'button';
  pause.className = 'button button-small';
  pause.textContent = tools.dataset.pause ?? '';
  const fresh = document.createElement('a');
  fresh.className = 'button button-primary button-small';
  fresh.href = '/admin/sessions';
  fresh.hidden = true;
  const status = document.createElement('span');
  status.setAttribute('role', 'status');
  status.append(fresh);
  tools.append(status, pause);
  let isPaused = false;
  pause.addEventListener('click', () => {
    isPaused = !isPaused;
    pause.textContent = (isPaused ? tools.dataset.resume : tools.dataset.pause) ?? '';
    if (!isPaused) void look();
  });

  const look = async (): Promise<void> => {
    if (isPaused || document.visibilityState !== 'visible') return;
    const answer = await fetch(`/api/v1/admin/sessions?limit=${LIMIT}`).catch(() => null);
    if (!answer?.ok) return;
    const { items, next } = (await answer.json()) as { items: { id: string }[]; next: string | null };
    const { gone, added } = compare(
      [...rows.keys()],
      items.map(({ id }) => id),
      next === null,
    );
    for (const id of gone) end(rows.get(id), tools.dataset.gone ?? '');
    fresh.hidden = added === 0;
    const text = (tools.dataset.new ?? '').replace('{}', String(added));
    if (added > 0 && fresh.textContent !== text) fresh.textContent = text;
  };
  setInterval(() => void look(), EVERY_MS);
}

/** Marks a row as one that has ended. It keeps its place. */
function end(row: HTMLElement | undefined, word: string): void {
  if (!row || row.classList.contains('is-gone')) return;
  row.classList.add('is-gone');
  const cell = row.lastElementChild;
  if (cell) cell.textContent = word;
}
