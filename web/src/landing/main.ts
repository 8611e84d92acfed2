//! The landing page's island: the numbers move, and a choice of theme or language is kept. All else works without it.
import './landing.css';
import { keepChoices } from './choices';
import { Numbers } from './numbers';

keepChoices();
const live = document.getElementById('now');
if (live) new Numbers(live).watch();
