//! The script of the pages of sign-in and account: shows a password, copies codes, counts a wait down,
//! sends a form once. The pages work without it.
import './account.css';
import { keepChoices } from '../landing/choices';
import { countDown, copyButtons, sendOnce, showButtons, summaryFocus } from './forms';

keepChoices();
summaryFocus();
showButtons();
copyButtons();
countDown();
sendOnce();
