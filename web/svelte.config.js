//! Svelte's settings: runes everywhere, and no styles written by scripts.
/** @type {import('@sveltejs/vite-plugin-svelte').SvelteConfig} */
export default {
  compilerOptions: { runes: true },
};
