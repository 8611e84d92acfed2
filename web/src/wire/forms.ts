//! Forms of the server's pages, sent without leaving the page.

/** What the server answered. The body is empty if it was not JSON. */
export interface FormAnswer {
  status: number;
  /** The path of the page that the form led to. */
  path: string;
  body: Record<string, unknown>;
}

/** Returns the fields of a form as the browser would send them. `button` is the pressed one. */
export function fieldsOf(form: HTMLFormElement, button?: HTMLButtonElement): URLSearchParams {
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (typeof value === 'string') fields.append(name, value);
  if (button?.name) fields.append(button.name, button.value);
  return fields;
}

/**
 * Sends a form and reads the answer as JSON. Throws if the server cannot be reached. `keepalive`: the
 * request goes on when the page is left; its fields then have 64 KiB at most.
 */
export async function sendForm(path: string, fields: URLSearchParams, keepalive = false): Promise<FormAnswer> {
  const headers = { Accept: 'application/json' };
  const answer = await fetch(path, { method: 'POST', body: fields, headers, keepalive });
  const isJson = answer.headers.get('content-type')?.includes('json') === true;
  const at = new URL(answer.url).pathname;
  return { status: answer.status, path: at, body: isJson ? ((await answer.json()) as Record<string, unknown>) : {} };
}

/**
 * Sends a form and reads the page that follows. `null` if the server cannot be reached. An
 * XMLHttpRequest parses a page without a way for its text to become a script.
 */
export function sendForPage(path: string, fields: URLSearchParams): Promise<Document | null> {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open('POST', path);
    request.responseType = 'document';
    request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
    request.onload = () => resolve(request.responseXML);
    request.onerror = () => resolve(null);
    request.send(fields.toString());
  });
}
