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

/** Reads a page as a document. No text is parsed by a script, which the content policy forbids. */
function readPage(path: string): Promise<Document> {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open('GET', path);
    request.responseType = 'document';
    request.setRequestHeader('accept', 'text/html');
    request.timeout = 10_000;
    request.onload = () =>
      request.status === 200 && request.responseXML ? done(request.responseXML) : fail(new Error('no page'));
    request.onerror = request.ontimeout = () => fail(new Error('no answer'));
    request.send();
  });
}

async function takeNewer(version: string): Promise<void> {
  // Another address for each version: caches may serve an old copy while they ask for a new one.
  if (!page.take(await readPage(`${location.pathname}?version=${version}`))) return;
  watchBanners();
  const section = document.getElementById('now');
  if (numbers?.section !== section) numbers = section && new Numbers(section);
}

readNumbers();
const main = document.querySelector('main');
// The preview of a draft stays what it is: what is published does not replace it.
const isPreview = document.querySelector('.draft-bar') !== null;
if (main?.dataset.page && !isPreview && 'EventSource' in window)
  new Live(main, page, {
    stats: (answer) => numbers?.receive(answer as Answer),
    content: takeNewer,
    connected: (is) => {
      if (is) stopReading();
      else readNumbers();
    },
  }).watch();
