//! The script of the landing page and of the pages about the site: updates the numbers and stores a choice of theme or language.
//! The page works without it.
import './landing.css';
import './about.css';
import { keepChoices } from './choices';
import { Numbers } from './numbers';

keepChoices();
const live = document.getElementById('now');
if (live) new Numbers(live).watch();
