//! Starts the scripts of the editor's pages that are on the page.
import { startEditor } from './editor';
import { startMirrors } from './mirror';
import { startOrder } from './order';
import { startWhen } from './when';

export function startSections(): void {
  document.querySelector<HTMLElement>('.form-summary')?.focus();
  startOrder();
  startWhen();
  startMirrors();
  startEditor();
}
