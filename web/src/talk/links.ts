//! Finds the links of a message. Only http and https, and only addresses whose host can be shown
//! without a doubt about where it leads.

export interface Link {
  /** What the message shows: the typed text, or the true address if the typed one could mislead. */
  text: string;
  /** The full address, as the browser understands it. */
  href: string;
  /** The host to show: readable if it is safe to read, otherwise in its encoded form. */
  host: string;
  /** The address to show under the host, without the scheme. */
  address: string;
}

export type Segment = { text: string; link?: undefined } | { text: string; link: Link };

/** Ends of bare hosts that are recognised without a scheme and without `www.`. */
const BARE_ENDS = 'com|net|org|kr|jp|io|dev|app|edu|gov|info|tv|gg|co|한국';

// An address ends before white space, quotes, angle and square brackets, and before every character
// that is not visible, such as a direction mark or a zero-width space.
const REST = '[^\\s\\p{C}\\p{Default_Ignorable_Code_Point}<>"`\\\\{}|^\\[\\]“”‘’「」『』《》〈〉【】]';
const CANDIDATE = new RegExp(
  `https?://${REST}+|www\\.${REST}+|(?:[a-z0-9가-힣][a-z0-9가-힣-]{0,62}\\.){1,8}(?:${BARE_ENDS})(?![a-z0-9-])(?:[:/?#]${REST}*)?`,
  'giu',
);

/** A letter or sign before an address that makes it a part of something else, such as an e-mail. */
const CONTINUES = /[a-z0-9@._\-/]$/i;

/** Punctuation that ends a sentence, not an address. */
const END = /[.,!?;:'"*_~…·、。，！？：；)\]）］」』]$/u;

/**
 * Korean particles that are written directly after a word: "example.com에서". They belong to the
 * sentence.
 */
const PARTICLES =
  /(?:에서는?|에는?|으로|로|까지|부터|처럼|보다|하고|이랑|랑|이나|나|이라고|라고|이에요|예요|입니다|인데요?|이야|야|을|를|이|가|은|는|와|과|도|만|의|요)$/u;

/** Returns the text in parts: plain text and links, in their order. Joined they are the text. */
export function segmentsOf(text: string): Segment[] {
  if (!/[.:]/.test(text)) return [{ text }];
  const segments: Segment[] = [];
  let at = 0;
  for (const { 0: match, index } of text.matchAll(CANDIDATE)) {
    if (index < at || CONTINUES.test(text.slice(Math.max(0, index - 1), index))) continue;
    const typed = withoutEnd(match);
    const link = linkOf(typed);
    if (!link) continue;
    if (index > at) segments.push({ text: text.slice(at, index) });
    segments.push({ text: typed, link });
    at = index + typed.length;
  }
  if (at < text.length) segments.push({ text: text.slice(at) });
  return segments;
}

/** Removes what follows the address in the sentence: punctuation, open brackets, particles. */
function withoutEnd(typed: string): string {
  let address = hostEnd(typed);
  for (;;) {
    const shorter = withoutParticle(withoutPunctuation(address));
    if (shorter === address) return address;
    address = shorter;
  }
}

function withoutPunctuation(address: string): string {
  const last = address.at(-1) ?? '';
  if (!END.test(address)) return address;
  // A bracket that the address itself opened belongs to it: /wiki/Foo_(bar)
  if (last === ')' && count(address, '(') >= count(address, ')')) return address;
  return address.slice(0, -last.length);
}

const count = (text: string, sign: string): number => text.split(sign).length - 1;

/** Removes a particle after a Latin letter, a digit or a slash, but not a Korean word. */
function withoutParticle(address: string): string {
  const hangul = /[가-힣]+$/u.exec(address)?.[0] ?? '';
  if (hangul === '' || hangul.replace(PARTICLES, '') !== '') return address;
  const before = address.slice(0, -hangul.length);
  const path = before.replace(/^(?:https?:\/\/)?[^/?#]*/iu, '');
  // In "/wiki/가" and "?q=가" the syllable is the address.
  if (path !== '/' && /[/=#?&+%_.-]$/.test(path)) return address;
  return path === '' && !/[a-z0-9]$/i.test(before) ? address : before;
}

/** Cuts a Korean word that is written directly after the host: "example.com이라는 곳". */
function hostEnd(typed: string): string {
  const [scheme = ''] = /^https?:\/\//i.exec(typed) ?? [];
  const [host = ''] = /^[^/?#:]*/.exec(typed.slice(scheme.length)) ?? [];
  const [whole = ''] = /^.*\.(?:[a-z][a-z0-9-]*|한국)(?=[가-힣])/iu.exec(host) ?? [];
  return whole === '' ? typed : scheme + whole;
}

function linkOf(typed: string): Link | null {
  const url = parsed(/^https?:\/\//i.test(typed) ? typed : `https://${typed}`);
  if (!url) return null;
  const written = (/^(?:https?:\/\/)?([^/?#:]*)/i.exec(typed)?.[1] ?? '').toLowerCase();
  if (!/[^.]\.[^.]/.test(written)) return null; // such as a number that the browser reads as a host
  const host = readableHost(written, url.hostname);
  const address = `${host}${url.port === '' ? '' : `:${url.port}`}${readable(url.pathname + url.search + url.hash)}`;
  const plain = address.endsWith('/') && url.pathname === '/' ? address.slice(0, -1) : address;
  // A host that is not shown as it was typed would be read as another one.
  const honest = host === written && !RIGHT_TO_LEFT.test(typed);
  return { text: honest ? typed : plain, href: url.href, host, address: plain };
}

function parsed(address: string): URL | null {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  // A name before the host is read as the host: https://bank.example@elsewhere.example
  if (url.username !== '' || url.password !== '' || /^https?:\/\/[^/?#]*@/i.test(address)) return null;
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : null;
}

/** Labels that cannot be mistaken for others: Hangul with Latin letters, or kana and Han alone. */
const CLEAR_LABEL = /^(?:[a-z0-9-]+|[a-z0-9가-힣-]+|[\p{Script=Han}ぁ-ゖァ-ヺー々-]+)$/u;

/** Returns the host as it was written if that is clear, otherwise as the browser encodes it. */
function readableHost(written: string, encoded: string): string {
  const folded = written.normalize('NFC');
  if (folded === encoded || !folded.split('.').every((label) => CLEAR_LABEL.test(label))) return encoded;
  return parsed(`https://${folded}`)?.hostname === encoded ? folded : encoded;
}

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const UNREADABLE = /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u115f\u1160\u2800\u3164\uffa0]/u;

/** Decodes a path for reading, unless a decoded character would be invisible or turn the order. */
function readable(path: string): string {
  try {
    const decoded = decodeURI(path);
    return UNREADABLE.test(decoded) || RIGHT_TO_LEFT.test(decoded) ? path : decoded;
  } catch {
    return path;
  }
}
