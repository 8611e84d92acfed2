//! The script of the back-office: keeps a choice of theme, sends a form once. The pages work without
//! it; parts with a script of their own load it when they are on the page.
import './admin.css';
import { sendOnce } from '../account/forms';
import { keepChoices } from '../landing/choices';

keepChoices();
sendOnce();
if (document.querySelector('#section-form, [data-order], [data-instant], .form-summary')) {
  void import('./sections/start').then(({ startSections }) => startSections());
}
