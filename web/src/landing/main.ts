//! The script of the landing page and of the pages about the site: updates the numbers and what an
//! editor publishes, hides announcements, and stores a choice of theme or language. The page works
//! without it.
import './landing.css';
import './about.css';
import { watchBanners } from './banners';
import { keepChoices } from './choices';
import { Live } from './live';
import { Numbers, type Answer } from './numbers';
import { LivingPage } from './page';

keepChoices();
watchBanners();

const page = new LivingPage();
let numbers: Numbers | null = null;
let stopReading: () => void = () => undefined;

/** Reads the numbers at an interval, until they come by themselves. */
function readNumbers(): void {
  stopReading();
  const section = document.getElementById('now');
  if (numbers?.section !== section) numbers = section && new Numbers(section);
  stopReading = numbers?.watch() ?? stopReading;
}

async function takeNewer(): Promise<void> {
  const answer = await fetch(location.pathname, { headers: { accept: 'text/html' }, cache: 'no-cache' });
  if (!answer.ok) throw new Error(`the page answered ${answer.status}`);
  if (!page.take(new DOMParser().parseFromString(await answer.text(), 'text/html'))) return;
  watchBanners();
  const section = document.getElementById('now');
  if (numbers?.section !== section) numbers = section && new Numbers(section);
}

readNumbers();
const main = document.querySelector('main');
if (main?.dataset.page && 'EventSource' in window)
  new Live(main, page, {
    stats: (answer) => numbers?.receive(answer as Answer),
    content: takeNewer,
    connected: (is) => {
      if (is) stopReading();
      else readNumbers();
    },
  }).watch();
