//! Starts the page: language and theme first, then the chat.
import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { Chat } from './chat/chat.svelte';
import { firstLocale } from './i18n';
import { words } from './i18n/words.svelte';
import { themeSetting } from './ui/theme.svelte';
import { socketUrl } from './wire/socket';

themeSetting.read();
// The server has written the language on the page: the chosen one, or the browser's.
words.locale = firstLocale(document.documentElement.lang, navigator.languages);
document.documentElement.lang = words.locale;

const target = document.getElementById('app');
if (target) mount(App, { target, props: { chat: new Chat({ url: socketUrl(location) }) } });
