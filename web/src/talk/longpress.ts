//! A long press of a finger, and the key or gesture for a context menu.

/** How long a finger stays down, in milliseconds. */
export const LONG_PRESS_MS = 450;
/** A finger that moves further than this scrolls, in pixels. */
const MAX_MOVE_PX = 10;

/** Calls `open` after a long press, and for the menu key. The menu of a mouse stays the browser's. */
export function longPress(open: () => unknown): (node: HTMLElement) => () => void {
  return (node) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let start = { x: 0, y: 0 };
    let touched = false;
    const stop = () => clearTimeout(timer);
    const down = (event: PointerEvent) => {
      stop();
      touched = event.pointerType === 'touch';
      if (!touched || !event.isPrimary) return;
      start = { x: event.clientX, y: event.clientY };
      timer = setTimeout(open, LONG_PRESS_MS);
    };
    const move = (event: PointerEvent) => {
      if (Math.hypot(event.clientX - start.x, event.clientY - start.y) > MAX_MOVE_PX) stop();
    };
    const menu = (event: MouseEvent) => {
      const byMouse = event.button === 2 && !touched;
      if (byMouse) return;
      event.preventDefault();
      stop();
      open();
    };
    const on: [string, (event: never) => void][] = [
      ['pointerdown', down],
      ['pointermove', move],
      ['pointerup', stop],
      ['pointercancel', stop],
      ['contextmenu', menu],
    ];
    for (const [type, handler] of on) node.addEventListener(type, handler as EventListener);
    return () => {
      stop();
      for (const [type, handler] of on) node.removeEventListener(type, handler as EventListener);
    };
  };
}
