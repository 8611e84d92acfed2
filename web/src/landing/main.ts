//! The script of the landing page: updates the numbers and stores a choice of theme or language.
//! The page works without it.
import './landing.css';
import { keepChoices } from './choices';
import { Numbers } from './numbers';

keepChoices();
const live = document.getElementById('now');
if (live) new Numbers(live).watch();
