//! Reads pages again that show how something is now: the part with `data-refresh-page` is replaced,
//! so that the place on the page, the focus and what is unfolded stay.

/** The page, or part of it, that is shown. Replaced in tests. */
export interface Shown {
  page: Document;
  read(path: string): Promise<string>;
  isVisible(): boolean;
}

const SHOWN: Shown = {
  page: document,
  read: async (path) => {
    const answer = await fetch(path, { headers: { accept: 'text/html' } });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  },
  isVisible: () => document.visibilityState === 'visible',
};

/** Starts to refresh, every `data-refresh-page` seconds. While the page is hidden nothing is read. */
export function refreshPage(shown: Shown = SHOWN): void {
  const part = shown.page.querySelector<HTMLElement>('[data-refresh-page]');
  if (part) setInterval(() => void refresh(shown), Number(part.dataset.refreshPage) * 1_000);
  const once = shown.page.querySelector<HTMLElement>('[data-reload]');
  if (once) setTimeout(() => location.reload(), Number(once.dataset.reload) * 1_000);
}

/** Replaces the part by its present state. A page that cannot be read leaves it as it is. */
export async function refresh(shown: Shown): Promise<void> {
  const part = shown.page.querySelector('[data-refresh-page]');
  if (!part || !shown.isVisible() || part.contains(shown.page.activeElement)) return;
  try {
    const html = await shown.read(shown.page.location.pathname + shown.page.location.search);
    const next = new DOMParser().parseFromString(html, 'text/html').querySelector('[data-refresh-page]');
    if (next) part.replaceWith(shown.page.importNode(next, true));
  } catch {
    // The time of the last check stays on the page and tells it.
  }
}
