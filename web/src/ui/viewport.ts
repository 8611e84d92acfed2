//! The part of the page that the on-screen keyboard leaves: told to the sheets as --visible-height.

export function followViewport(): () => void {
  const view = window.visualViewport;
  if (!view) return () => undefined;
  let frame = 0;
  const measure = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      // Zooming in shrinks the same measure, and must not shrink the page.
      if (view.scale > 1.01) return;
      document.documentElement.style.setProperty('--visible-height', `${view.height}px`);
      // Safari scrolls the page under the keyboard; the talk fills what is left, so it goes back.
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
