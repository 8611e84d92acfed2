//! The present language of the page.

class Words {
  locale = $state<'ko' | 'en'>('ko');
}

export const words = new Words();
