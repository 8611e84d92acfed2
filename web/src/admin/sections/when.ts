//! A date and time of the page's form, in the time zone of the device.

/** Returns the milliseconds since 1970 of a local date and time. Empty if they are none. */
export function utcOf(date: string, time: string): string {
  const at = new Date(`${date}T${time}`).getTime();
  return date && time && Number.isFinite(at) ? String(at) : '';
}

export function startWhen(page: Document = document): void {
  for (const form of page.querySelectorAll<HTMLFormElement>('form[data-when]')) {
    const hint = form.querySelector<HTMLElement>('[data-zone]');
    if (hint) hint.textContent = hint.dataset.zone ?? '';
    const field = (name: string): HTMLInputElement | null => form.querySelector(`input[name=${name}]`);
    const [date, time, utc, later] = [field('date'), field('time'), field('utc'), form.querySelector('[value=later]')];
    for (const one of [date, time]) {
      // Whoever enters a time means it.
      one?.addEventListener('input', () => {
        if (later instanceof HTMLInputElement) later.checked = true;
      });
    }
    form.addEventListener('submit', () => {
      if (utc) utc.value = utcOf(date?.value ?? '', time?.value ?? '');
    });
  }
}
