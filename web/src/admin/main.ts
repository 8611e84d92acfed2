//! The script of the back-office: keeps a choice of theme, sends a form once. The pages work without
//! it; parts with a script of their own load it when they are on the page.
import './admin.css';
import { copyButtons, sendOnce } from '../account/forms';
import { keepChoices } from '../landing/choices';
import { uploadForm } from './images';
import { refreshPage } from './refresh-page';

keepChoices();
sendOnce();
copyButtons();
refreshPage();
uploadForm();
if (document.querySelector('#section-form, [data-order], [data-instant], .form-summary')) {
  void import('./sections/start').then(({ startSections }) => startSections());
}

const dashboard = document.querySelector<HTMLElement>('[data-dashboard]');
if (dashboard) void import('./dashboard').then(({ startDashboard }) => startDashboard(dashboard));

const sessions = document.querySelector<HTMLElement>('[data-live-sessions]');
if (sessions) void import('./live-sessions').then(({ watchSessions }) => watchSessions(sessions));
