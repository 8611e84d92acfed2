//! Saves a talk as a plain text file. The file is made on the device and sent nowhere.
import { clock, dayAndClock } from '../i18n';
import type { Row } from './row.svelte';

export interface Names {
  title: string;
  me: string;
  them: string;
}

/**
 * Returns the talk as text, one line for each message. A byte order mark lets every editor read the
 * Hangul.
 */
export function transcript(rows: readonly Row[], names: Names): string {
  const lines = rows
    .filter((row) => row.status === 'sent' && !row.deleted && !row.unknown)
    .map((row) => `[${clock(row.at)}] ${row.mine ? names.me : names.them}: ${row.text}`);
  const [first] = rows;
  const head = first ? [names.title, dayAndClock(first.at), ''] : [names.title, ''];
  return `\uFEFF${[...head, ...lines].join('\n')}\n`;
}

export function saveFile(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/plain;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // The browser reads the address while it saves the file.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
