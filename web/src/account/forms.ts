//! What the script adds to the forms of the account pages. Each part finds its own elements and does
//! nothing if there are none.

/** How long "copied" is shown. */
const COPIED_MS = 2_000;
/** How long a pressed button stays pressed if no page follows, such as after a download. */
const SENDING_MS = 10_000;

/** Moves the focus to the summary of what is wrong, also in browsers that ignore `autofocus` there. */
export function summaryFocus(page: Document = document): void {
  page.querySelector<HTMLElement>('.summary')?.focus();
}

/** Unhides the buttons that show a password, and lets them show and hide it. */
export function showButtons(page: Document = document): void {
  for (const button of page.querySelectorAll<HTMLButtonElement>('button[data-show]')) {
    const field = page.getElementById(button.dataset.show ?? '');
    const word = button.querySelector('.word');
    if (!(field instanceof HTMLInputElement) || !word) continue;
    const words = { show: word.textContent, hide: button.dataset.hide ?? '' };
    const set = (shown: boolean): void => {
      field.type = shown ? 'text' : 'password';
      button.setAttribute('aria-pressed', String(shown));
      word.textContent = shown ? words.hide : words.show;
    };
    button.hidden = false;
    button.addEventListener('click', () => set(field.type === 'password'));
    // A browser stores what a text field held, and may show it again.
    field.form?.addEventListener('submit', () => set(false));
  }
}

/** Unhides the buttons that copy a text, where the browser can copy. */
export function copyButtons(page: Document = document, clipboard: Clipboard | undefined = navigator.clipboard): void {
  if (!clipboard) return;
  for (const button of page.querySelectorAll<HTMLButtonElement>('button[data-copy]')) {
    const source = page.getElementById(button.dataset.copy ?? '');
    const text = source?.dataset.text;
    if (text === undefined) continue;
    const word = button.textContent;
    // Its width stays, so that nothing beside it moves.
    button.hidden = false;
    button.setAttribute('aria-live', 'polite');
    button.addEventListener('click', () => {
      clipboard.writeText(text).then(
        () => {
          button.textContent = button.dataset.done ?? word;
          setTimeout(() => (button.textContent = word), COPIED_MS);
        },
        // Refused by the browser: the text is on the page to be selected.
        () => getSelection()?.selectAllChildren(source as Node),
      );
    });
  }
}

/** Counts a wait down to its end, and keeps the form from being sent before. */
export function countDown(page: Document = document, now: () => number = Date.now): void {
  const line = page.querySelector<HTMLElement>('.wait[data-seconds]');
  if (!line) return;
  const end = now() + Number(line.dataset.seconds) * 1_000;
  const buttons = page.querySelectorAll<HTMLButtonElement>('.form-tile form button:not([type=button])');
  const sentence = line.dataset.sentence ?? '';
  const show = (): void => {
    const left = Math.ceil((end - now()) / 1_000);
    for (const button of buttons) button.disabled = left > 0;
    if (left > 0) {
      line.textContent = sentence.replace('{}', span(left, page.documentElement.lang));
      return;
    }
    clearInterval(timer);
    line.setAttribute('role', 'status');
    line.textContent = line.dataset.over ?? '';
  };
  const timer = setInterval(show, 1_000);
  show();
}

/** A length of time in its largest unit, as the server writes it; rounded up. */
function span(seconds: number, locale: string): string {
  const units: [string, number][] = [
    ['hour', 3_600],
    ['minute', 60],
  ];
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? ['second', 1];
  const style: Intl.NumberFormatOptions = { style: 'unit', unit, unitDisplay: 'long' };
  return new Intl.NumberFormat(locale, style).format(Math.ceil(seconds / size));
}

/** Lets each form be sent once. Coming back to the page allows it again. */
export function sendOnce(page: Document = document): void {
  const sent = new Set<HTMLFormElement>();
  page.addEventListener('submit', (event) => {
    const form = event.target as HTMLFormElement;
    if (sent.has(form)) {
      event.preventDefault();
      return;
    }
    sent.add(form);
    form.setAttribute('aria-busy', 'true');
    setTimeout(() => free(form), SENDING_MS);
  });
  const free = (form: HTMLFormElement): void => {
    sent.delete(form);
    form.removeAttribute('aria-busy');
  };
  page.defaultView?.addEventListener('pageshow', () => [...sent].forEach(free));
}
