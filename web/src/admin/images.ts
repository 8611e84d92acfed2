//! What the script adds to the form of an upload: a file can be dropped or pasted, is shown before it
//! is sent, and its progress is seen. Without it the form is sent as any other.

/** Why a file cannot be sent, or where its page is. */
export type Answer = { path: string } | { text: string; field?: string };

/** The first image among files that were dropped or pasted. */
export function firstImage(files: Iterable<File> | null | undefined): File | undefined {
  return [...(files ?? [])].find((file) => file.type.startsWith('image/'));
}

/** Reads what the server answered. Anything else means that it was not sent. */
export function readAnswer(status: number, body: string, failed: string): Answer {
  if (status === 200) {
    try {
      const answer: unknown = JSON.parse(body);
      if (answer && typeof answer === 'object') {
        if ('path' in answer && typeof answer.path === 'string') return { path: answer.path };
        if ('text' in answer && typeof answer.text === 'string') return { text: answer.text };
      }
    } catch {
      // Not JSON: the page of a failure.
    }
  }
  return { text: failed };
}

/** The share of an upload that was sent, in whole percent. */
export function percent(loaded: number, total: number): number {
  return total > 0 ? Math.min(100, Math.floor((100 * loaded) / total)) : 0;
}

/** Enhances the form of an upload, if the page has one. */
export function uploadForm(page: Document = document): void {
  const form = page.querySelector<HTMLFormElement>('form[data-upload]');
  const input = form?.querySelector<HTMLInputElement>('input[type=file]');
  if (!form || !input) return;
  const part = <T extends HTMLElement>(name: string): T | null => form.querySelector<T>(`[data-${name}]`);
  const [preview, progress, problem] = [part<HTMLImageElement>('preview'), part('progress'), part('problem')];
  const hint = part('drop');
  if (hint) hint.hidden = false;

  const say = (text: string): void => {
    if (problem) problem.textContent = text;
  };
  const show = (): void => {
    const file = input.files?.[0];
    const isTooLarge = file !== undefined && file.size > Number(form.dataset.most);
    say(isTooLarge ? (form.dataset.tooLarge ?? '') : '');
    if (!preview) return;
    if (preview.src.startsWith('data:')) preview.removeAttribute('src');
    preview.hidden = true;
    if (!file || isTooLarge) return;
    const reader = new FileReader();
    reader.addEventListener('load', () => {
      // The policy of the site allows `data:` for images, and no `blob:`.
      if (input.files?.[0] !== file || typeof reader.result !== 'string') return;
      preview.src = reader.result;
      preview.hidden = false;
    });
    reader.readAsDataURL(file);
  };
  const take = (files: FileList | null | undefined): boolean => {
    const image = firstImage(files);
    if (!image) return false;
    const one = new DataTransfer();
    one.items.add(image);
    input.files = one.files;
    show();
    return true;
  };

  input.addEventListener('change', show);
  page.addEventListener('paste', (event) => {
    if (take(event.clipboardData?.files)) event.preventDefault();
  });
  const over = (event: DragEvent): void => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    form.dataset.over = '';
  };
  form.addEventListener('dragenter', over);
  form.addEventListener('dragover', over);
  form.addEventListener('dragleave', () => delete form.dataset.over);
  form.addEventListener('drop', (event) => {
    delete form.dataset.over;
    event.preventDefault();
    take(event.dataTransfer?.files);
  });

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    // Before the document's own listener, which lets a form be sent once.
    event.stopPropagation();
    if (form.ariaBusy === 'true') return;
    const file = input.files?.[0];
    if (file && file.size > Number(form.dataset.most)) {
      say(form.dataset.tooLarge ?? '');
      return;
    }
    send(form, progress, say);
  });
}

function send(form: HTMLFormElement, progress: HTMLElement | null, say: (text: string) => void): void {
  const request = new XMLHttpRequest();
  const [bar, line] = [progress?.querySelector('progress'), progress?.querySelector('p')];
  const busy = (is: boolean): void => {
    form.ariaBusy = String(is);
    if (progress) progress.hidden = !is;
  };
  const end = (answer: Answer): void => {
    if ('path' in answer) {
      location.assign(answer.path);
      return;
    }
    busy(false);
    say(answer.text);
  };
  const failed = form.dataset.failed ?? '';
  request.upload.addEventListener('progress', (event) => {
    const sent = percent(event.loaded, event.total);
    if (bar) bar.value = sent;
    if (line && sent === 100) line.textContent = form.dataset.processing ?? '';
  });
  request.addEventListener('load', () => end(readAnswer(request.status, request.responseText, failed)));
  request.addEventListener('error', () => end({ text: failed }));
  request.open('POST', form.action);
  request.setRequestHeader('accept', 'application/json');
  if (line) line.textContent = form.dataset.sending ?? '';
  if (bar) bar.value = 0;
  say('');
  busy(true);
  request.send(new FormData(form));
}
