//! The language the page is written in just now.

class Words {
  locale = $state<'ko' | 'en'>('ko');
}

export const words = new Words();
