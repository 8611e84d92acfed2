//! Dates and times of the page's forms, in the time zone of the device.

/** Returns the milliseconds since 1970 of a local date and time. Empty if they are none. */
export function utcOf(date: string, time: string): string {
  const at = new Date(`${date}T${time}`).getTime();
  return date && time && Number.isFinite(at) ? String(at) : '';
}

/** Returns an instant as the fields show it in the time zone of the device. */
export function fieldsOf(ms: number): { date: string; time: string } {
  const at = new Date(ms);
  const two = (number: number): string => String(number).padStart(2, '0');
  return {
    date: `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`,
    time: `${two(at.getHours())}:${two(at.getMinutes())}`,
  };
}

/** Shows the times of forms in the time zone of the device, and sends them as instants. */
export function startWhen(page: Document = document): void {
  for (const hint of page.querySelectorAll<HTMLElement>('[data-zone]')) hint.textContent = hint.dataset.zone ?? '';
  for (const place of page.querySelectorAll<HTMLElement>('[data-instant]')) {
    const date = place.querySelector<HTMLInputElement>('[type=date]');
    const time = place.querySelector<HTMLInputElement>('[type=time]');
    const utc = place.querySelector<HTMLInputElement>('[data-at]');
    if (!date || !time || !utc) continue;
    if (utc.dataset.at) {
      const shown = fieldsOf(Number(utc.dataset.at));
      date.value = shown.date;
      time.value = shown.time;
    }
    const later = date.form?.querySelector('[value=later]');
    for (const one of [date, time]) {
      // Whoever enters a time means it.
      one.addEventListener('input', () => {
        if (later instanceof HTMLInputElement) later.checked = true;
      });
    }
    date.form?.addEventListener('submit', () => (utc.value = utcOf(date.value, time.value)));
  }
}
