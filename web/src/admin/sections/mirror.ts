//! Shows beside a field what it will look like. An empty field shows the text of the first language.

export function startMirrors(page: Document = document): void {
  const fields = [...page.querySelectorAll<HTMLTextAreaElement>('[data-mirror]')];
  const show = (): void => {
    for (const field of fields) {
      const place = page.getElementById(field.dataset.mirror ?? '');
      if (place) place.textContent = field.value.trim() || (fields[0]?.value ?? '');
    }
  };
  for (const field of fields) field.addEventListener('input', show);
}
