//! Sets `--visible-height` to the part of the page that the on-screen keyboard does not cover.

/** Follows the size of the visible part. Returns a function that stops. */
export function followViewport(): () => void {
  const view = window.visualViewport;
  if (!view) return () => undefined;
  let frame = 0;
  const measure = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      // Zooming in changes the same value, but must not shrink the page.
      if (view.scale > 1.01) return;
      document.documentElement.style.setProperty('--visible-height', `${view.height}px`);
      // Safari scrolls the page under the keyboard. The talk fills the visible part, so the page
      // scrolls back.
      if (view.offsetTop > 0) window.scrollTo(0, 0);
    });
  };
  view.addEventListener('resize', measure);
  view.addEventListener('scroll', measure);
  measure();
  return () => {
    cancelAnimationFrame(frame);
    view.removeEventListener('resize', measure);
    view.removeEventListener('scroll', measure);
    document.documentElement.style.removeProperty('--visible-height');
  };
}
