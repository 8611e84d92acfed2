//! What eslint checks: the recommended rules, and what catches real bugs in asynchronous code.
import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

export default ts.config(
  { ignores: ['dist/', 'coverage/', 'test-results/', 'canary/', 'src/wire/generated/'] },
  js.configs.recommended,
  { files: ['**/*.ts', '**/*.svelte'], extends: [ts.configs.recommended] },
  svelte.configs.recommended,
  svelte.configs.prettier,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
    rules: {
      'eqeqeq': 'error',
      'no-console': 'error',
      'no-misleading-character-class': ['error', { allowEscape: true }],
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['*.ts', 'src/**/*.ts', 'src/**/*.svelte'],
    languageOptions: { parserOptions: { projectService: true, extraFileExtensions: ['.svelte'] } },
    rules: {
      // TypeScript resolves names itself.
      'no-undef': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { attributes: false } }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } },
    rules: {
      // The plain maps and sets are not state of a component; what is state is marked with
      // `$state`.
      'svelte/prefer-svelte-reactivity': 'off',
      // `{' '}` keeps a space that would otherwise be trimmed.
      'svelte/no-useless-mustaches': 'off',
    },
  },
  // `svelte/prefer-const` allows `let` for `$props()` and `$derived()`.
  { files: ['**/*.svelte'], rules: { 'prefer-const': 'off', 'svelte/prefer-const': 'error' } },
  { files: ['e2e/**', 'scripts/**'], rules: { 'no-console': 'off' } },
);
