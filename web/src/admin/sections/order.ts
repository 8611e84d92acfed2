//! The order of a list: by two buttons, which keep the focus, and by dragging.
import { sendForm } from '../../wire/forms';

/**
 * Moves an item to another place of its list, by moving those it passes: an element that is moved
 * itself loses the focus and the pointer. Returns `false` if it is there already.
 */
export function moveTo(list: Element, item: Element, place: number): boolean {
  const items = [...list.children];
  const from = items.indexOf(item);
  if (from === place || place < 0 || place >= items.length) return false;
  if (place > from) item.before(...items.slice(from + 1, place + 1));
  else item.after(...items.slice(place, from));
  return true;
}

/** Disables "up" of the first item and "down" of the last one. */
export function markEnds(list: Element): void {
  const items = [...list.children];
  for (const [at, item] of items.entries()) {
    for (const button of item.querySelectorAll<HTMLButtonElement>('button[name=move]')) {
      button.disabled = button.value === 'up' ? at === 0 : at === items.length - 1;
    }
  }
}

export function startOrder(page: Document = document): void {
  const list = page.querySelector<HTMLElement>('[data-order]');
  if (!list) return;
  const say = (item: Element): void => {
    const line = page.querySelector<HTMLElement>('[data-moved]');
    const name = item.querySelector('.section-name b')?.textContent ?? '';
    const place = [...list.children].indexOf(item) + 1;
    if (line) line.textContent = (line.dataset.sentence ?? '').replace('{}', name).replace('987', String(place));
  };
  // One order is sent at a time, and after it the newest: two that cross would end in the older one.
  let unsent: URLSearchParams | null = null;
  let busy = false;
  const take = (): URLSearchParams | null => {
    const fields = unsent;
    unsent = null;
    return fields;
  };
  const send = (fields: URLSearchParams) => sendForm(list.dataset.order ?? '', fields, true);
  const save = async (): Promise<void> => {
    const groups = [...list.children].map((one) => (one as HTMLElement).dataset.group ?? '').join(',');
    unsent = new URLSearchParams({ token: list.dataset.token ?? '', groups });
    if (busy) return;
    busy = true;
    for (let fields = take(); fields; fields = take()) {
      const answer = await send(fields).catch(() => null);
      // The server knows the order: a page that differs from it is loaded again.
      if (answer?.status !== 200 || !answer.path.startsWith('/admin/')) location.reload();
    }
    busy = false;
  };
  // What waits when the page is left is sent beside the one before it.
  page.defaultView?.addEventListener('pagehide', () => {
    const fields = take();
    if (fields) void send(fields).catch(() => undefined);
  });
  // Before that the buttons send their forms.
  list.dataset.ready = '';
  list.addEventListener('click', (event) => {
    const button = (event.target as Element).closest<HTMLButtonElement>('button[name=move]');
    const item = button?.closest('li');
    if (!button?.form || !item) return;
    event.preventDefault();
    const at = [...list.children].indexOf(item);
    if (!moveTo(list, item, button.value === 'up' ? at - 1 : at + 1)) return;
    markEnds(list);
    // At the end of the list its button is disabled: the other one takes the focus.
    const other = item.querySelector<HTMLButtonElement>('button[name=move]:not(:disabled)');
    (button.disabled ? other : button)?.focus();
    say(item);
    void save();
  });
  list.addEventListener('pointerdown', (event) => {
    const grip = (event.target as Element).closest<HTMLElement>('.grip');
    const item = grip?.closest('li');
    if (grip && item && event.button === 0) drag(list, grip, item, event, () => drop(item));
  });
  const drop = (item: Element): void => {
    markEnds(list);
    say(item);
    void save();
  };
}

/** Follows a pointer until it is lifted. Escape takes the item back. */
function drag(list: Element, grip: HTMLElement, item: HTMLElement, down: PointerEvent, done: () => void): void {
  down.preventDefault();
  const before = [...list.children];
  const follow = (event: PointerEvent): void => {
    const others = [...list.children].filter((one) => one !== item);
    const above = others.filter((one) => {
      const { top, height } = one.getBoundingClientRect();
      return event.clientY > top + height / 2;
    });
    moveTo(list, item, above.length);
  };
  const end = (): void => {
    item.classList.remove('dragged');
    grip.removeEventListener('pointermove', follow);
    document.removeEventListener('keydown', escape);
    if (before.some((one, at) => list.children[at] !== one)) done();
  };
  const escape = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') list.replaceChildren(...before);
  };
  item.classList.add('dragged');
  grip.setPointerCapture(down.pointerId);
  grip.addEventListener('pointermove', follow);
  grip.addEventListener('lostpointercapture', end, { once: true });
  document.addEventListener('keydown', escape);
}
