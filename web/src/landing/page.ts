//! Takes over a newer edition of the page without moving what the reader reads: parts that did not
//! change stay as they are, with their focus and open answers.

const FOCUSABLE = 'a[href], button, input, select, textarea, summary, [tabindex]';

/** Returns the element whose children are the parts of a page. */
function partsOf(main: Element): Element {
  const [only] = main.children;
  return main.children.length === 1 && only?.classList.contains('wrap') ? only : main;
}

/** Returns the name by which an older and a newer part are the same one. */
function nameOf(part: Element): string {
  return part.id || (part.querySelector('h1, h2')?.textContent ?? '');
}

/** Returns what the reader has opened in a part. */
function openAnswers(part: Element): Set<string> {
  const open = [...part.querySelectorAll('details[open] > summary')];
  return new Set(open.map((summary) => summary.textContent ?? ''));
}

export class LivingPage {
  readonly #page: Document;
  /** The HTML of each part as the server wrote it, before a script changed it. */
  readonly #written = new WeakMap<Element, string>();

  constructor(page: Document = document) {
    this.#page = page;
    const main = page.querySelector('main');
    if (main) this.#remember(partsOf(main));
  }

  /** The version of the page, as the server writes it. */
  get version(): string {
    return this.#page.querySelector('main')?.dataset.version ?? '';
  }

  /** Takes a newer edition over. Returns `false` if it is no newer one. */
  take(newer: Document): boolean {
    const [mine, theirs] = [this.#page.querySelector('main'), newer.querySelector('main')];
    if (!mine || !theirs || mine.dataset.version === theirs.dataset.version) return false;
    const anchor = this.#topmost(mine);
    const before = anchor?.getBoundingClientRect().top ?? 0;
    const root = this.#page.documentElement;
    // The browser's own correction would be added to this one.
    root.classList.add('keeps-place');
    this.#replaceParts(partsOf(mine), partsOf(theirs));
    this.#replaceBanners(newer);
    mine.dataset.version = theirs.dataset.version ?? '';
    this.#page.title = newer.title;
    const view = this.#page.defaultView;
    const name = anchor && nameOf(anchor);
    const after = name ? [...partsOf(mine).children].find((part) => nameOf(part) === name) : null;
    if (after && view && view.scrollY > 0) view.scrollBy(0, after.getBoundingClientRect().top - before);
    view?.requestAnimationFrame(() => root.classList.remove('keeps-place'));
    return true;
  }

  #remember(parts: Element): void {
    for (const part of parts.children) this.#written.set(part, part.outerHTML);
  }

  /** Returns the part at the top of what the reader sees. */
  #topmost(main: Element): Element | null {
    return [...partsOf(main).children].find((part) => part.getBoundingClientRect().bottom > 0) ?? null;
  }

  #replaceParts(mine: Element, theirs: Element): void {
    const old = [...mine.children];
    const kept = new Set<Element>();
    const parts = [...theirs.children].map((newer) => {
      const html = newer.outerHTML;
      const same = old.find((part) => !kept.has(part) && this.#written.get(part) === html);
      if (same) {
        kept.add(same);
        return same;
      }
      const part = this.#page.importNode(newer, true);
      this.#written.set(part, html);
      return part;
    });
    const focused = this.#page.activeElement;
    const lost = old.find((part) => !kept.has(part) && part.contains(focused));
    const nth = lost ? [...lost.querySelectorAll(FOCUSABLE)].indexOf(focused as Element) : -1;
    for (const part of parts.filter((part) => !kept.has(part))) {
      const earlier = old.find((one) => nameOf(one) === nameOf(part));
      if (!earlier) continue;
      const open = openAnswers(earlier);
      for (const details of part.querySelectorAll('details'))
        details.open = open.has(details.querySelector('summary')?.textContent ?? '');
    }
    let next = mine.firstElementChild;
    for (const part of parts) {
      if (part === next) next = next.nextElementSibling;
      else mine.insertBefore(part, next);
    }
    for (const part of old.filter((part) => !kept.has(part))) part.remove();
    if (lost) {
      const part = parts.find((one) => nameOf(one) === nameOf(lost));
      const target = part?.querySelectorAll<HTMLElement>(FOCUSABLE)[nth] ?? this.#page.querySelector('main');
      target?.focus({ preventScroll: true });
    }
  }

  #replaceBanners(newer: Document): void {
    const [mine, theirs] = [this.#page.querySelector('.banners'), newer.querySelector('.banners')];
    if (theirs) {
      const banners = this.#page.importNode(theirs, true);
      if (mine) mine.replaceWith(banners);
      else this.#page.querySelector('.site-header')?.before(banners);
    } else mine?.remove();
  }
}
