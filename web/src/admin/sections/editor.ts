//! The script of the editor of a section: saves while writing, changes lists without a page load,
//! shows who else is here, warns before something is lost. The page works without it.
import { type FormAnswer, fieldsOf, sendForm, sendForPage } from '../../wire/forms';
import { Autosave, type SaveState } from './autosave';

/** The time between two signs of life. */
const HERE_MS = 15_000;

export function startEditor(page: Document = document): void {
  const form = page.querySelector<HTMLFormElement>('#section-form');
  if (form) new Editor(page, form).start();
}

class Editor {
  readonly #page: Document;
  readonly #form: HTMLFormElement;
  readonly #autosave: Autosave;
  readonly #status: HTMLElement | null;
  /** The sentence of the last save. */
  #saved: string;

  constructor(page: Document, form: HTMLFormElement) {
    this.#page = page;
    this.#form = form;
    this.#status = page.querySelector<HTMLElement>('[data-saved]');
    this.#saved = this.#words()?.textContent ?? '';
    this.#autosave = new Autosave(
      () => sendForm(form.action, fieldsOf(form)),
      (state, answer) => this.#show(state, answer),
    );
  }

  start(): void {
    this.#form.addEventListener('input', () => this.#autosave.changed());
    this.#form.addEventListener('submit', () => this.#autosave.stop());
    this.#form.addEventListener('click', (event) => this.#pressed(event));
    this.#page.addEventListener('keydown', (event) => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 's') {
        event.preventDefault();
        void this.#autosave.save();
      }
    });
    const view = this.#page.defaultView;
    view?.addEventListener('beforeunload', (event) => {
      if (this.#autosave.isUnsaved) event.preventDefault();
    });
    view?.addEventListener('online', () => {
      if (this.#autosave.isUnsaved) void this.#autosave.save();
    });
    setInterval(() => void this.#here(), HERE_MS);
    this.#focus();
    startShare(this.#page);
  }

  #words(): HTMLElement | null | undefined {
    return this.#status?.querySelector<HTMLElement>('[data-words]');
  }

  /** A button of a list: sends the form and takes over the fields of the page that follows. */
  #pressed(event: MouseEvent): void {
    const button = (event.target as Element).closest<HTMLButtonElement>('button[data-quick]');
    if (!button || this.#autosave.state === 'saving') return;
    event.preventDefault();
    this.#form.setAttribute('aria-busy', 'true');
    void sendForPage(this.#form.action, fieldsOf(this.#form, button)).then((next) => {
      this.#form.removeAttribute('aria-busy');
      const form = next?.querySelector<HTMLFormElement>('#section-form');
      if (!next || !form) {
        // A conflict, or a session that ended: the page that explains it.
        this.#autosave.stop();
        this.#form.requestSubmit(button);
        return;
      }
      this.#form.replaceChildren(...form.childNodes);
      this.#takeNote(next);
      const line = next.querySelector('[data-saved] [data-words]')?.textContent;
      if (line) this.#saved = line;
      this.#autosave.stop();
      this.#show('saved', null);
      this.#focus();
    });
  }

  #takeNote(next: Document): void {
    this.#page.querySelector('.page-note')?.remove();
    const note = next.querySelector('.page-note');
    if (note) this.#page.querySelector('.editor-head')?.before(note);
  }

  /** Moves the focus where the last button leads. */
  #focus(): void {
    const place = this.#form.querySelector<HTMLElement>('[data-focus]');
    const field = place?.querySelector<HTMLElement>('input, textarea, select') ?? place;
    (field ?? this.#form.querySelector<HTMLElement>('[autofocus]'))?.focus();
  }

  #show(state: SaveState, answer: FormAnswer | null): void {
    const status = this.#status;
    const words = this.#words();
    if (!status || !words) return;
    status.dataset.state = state;
    if (state === 'saved') this.#accept(answer?.body);
    this.#problems(state === 'refused' ? (answer?.body.problems as Record<string, string>) : {});
    const conflict = this.#page.querySelector<HTMLElement>('[data-conflict]');
    if (conflict && state === 'conflict') {
      const title = conflict.querySelector('b');
      if (title) title.textContent = String(answer?.body.conflict ?? '');
      conflict.hidden = false;
    }
    const { data } = { data: status.dataset };
    const offline = state === 'failed' && !navigator.onLine ? data.offline : data.failed;
    const sentences: Record<SaveState, string | undefined> = {
      saved: this.#saved,
      saving: data.saving,
      unsaved: data.unsaved,
      failed: offline,
      refused: data.problems,
      conflict: data.unsaved,
    };
    words.textContent = sentences[state] ?? '';
  }

  /** Takes over the new versions, so that the next save follows this one. */
  #accept(body: Record<string, unknown> | undefined): void {
    if (!body) return;
    this.#saved = String(body.saved ?? this.#saved);
    for (const [name, values] of Object.entries({ version: body.versions, base: body.bases })) {
      for (const [tag, value] of Object.entries((values ?? {}) as Record<string, unknown>)) {
        const field = this.#hidden(`${name}.${tag}`);
        field.value = String(value);
      }
    }
    for (const frame of this.#page.querySelectorAll<HTMLIFrameElement>('.preview-frame iframe')) {
      frame.contentWindow?.location.reload();
    }
  }

  #hidden(name: string): HTMLInputElement {
    const found = this.#form.elements.namedItem(name);
    if (found instanceof HTMLInputElement) return found;
    const field = this.#page.createElement('input');
    field.type = 'hidden';
    field.name = name;
    this.#form.prepend(field);
    return field;
  }

  /** Shows what is wrong below the fields. */
  #problems(problems: Record<string, string> = {}): void {
    for (const old of this.#form.querySelectorAll('.field-problem[data-live]')) old.remove();
    for (const field of this.#form.querySelectorAll('[aria-invalid]')) {
      if (!(field.id in problems)) field.removeAttribute('aria-invalid');
    }
    for (const [id, sentence] of Object.entries(problems)) {
      const field = this.#page.getElementById(id);
      if (!field) continue;
      field.setAttribute('aria-invalid', 'true');
      const text = this.#page.createElement('p');
      text.className = 'field-problem';
      text.id = `${id}-problem`;
      text.dataset.live = '';
      text.textContent = sentence;
      field.after(text);
      field.setAttribute('aria-describedby', text.id);
    }
  }

  async #here(): Promise<void> {
    const path = this.#form.dataset.here;
    const place = this.#page.querySelector('[data-others]');
    if (!path || !place || this.#page.visibilityState !== 'visible') return;
    const fields = new URLSearchParams({ token: String(new FormData(this.#form).get('token')) });
    const answer = await sendForm(path, fields).catch(() => null);
    if (answer?.status === 200) place.textContent = String(answer.body.others ?? '');
  }
}

/** Unhides the button that copies the address of the preview. */
function startShare(page: Document): void {
  const button = page.querySelector<HTMLButtonElement>('[data-copy-link]');
  const link = page.querySelector<HTMLInputElement>('#share-link');
  if (!button || !link || !('clipboard' in navigator)) return;
  button.hidden = false;
  button.setAttribute('aria-live', 'polite');
  button.addEventListener('click', () => {
    navigator.clipboard.writeText(link.value).then(
      () => (button.textContent = button.dataset.done ?? ''),
      () => link.select(),
    );
  });
}
