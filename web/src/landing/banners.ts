//! The announcements above a page can be hidden. One that was hidden stays so until its text changes.

const KEY = 'maju.banners-hidden';
/** The most keys that are stored; older ones are forgotten. */
const MAX_HIDDEN = 20;

function hidden(): string[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter((key) => typeof key === 'string') : [];
  } catch {
    return [];
  }
}

function hide(key: string): void {
  try {
    localStorage.setItem(KEY, JSON.stringify([...hidden().filter((one) => one !== key), key].slice(-MAX_HIDDEN)));
  } catch {
    // Without storage it is shown again on the next page.
  }
}

/** Hides the announcements that the reader has hidden, and shows the buttons of the others. */
export function watchBanners(page: Document = document): void {
  const keys = hidden();
  for (const banner of page.querySelectorAll<HTMLElement>('[data-banner]')) {
    const key = banner.dataset.banner ?? '';
    const button = banner.querySelector('button');
    banner.hidden = keys.includes(key);
    if (!button) continue;
    button.hidden = false;
    button.addEventListener('click', () => {
      const hadFocus = page.activeElement === button;
      hide(key);
      banner.hidden = true;
      if (hadFocus) page.querySelector<HTMLElement>('main')?.focus({ preventScroll: true });
    });
  }
}
