//! Topics: people who write the same topic in two languages meet, and each reads the own word.
import { eventually } from './person.mjs';

export const topicsWalks = {
  'people who write a topic in two languages meet, and each reads the own word': twoLanguages,
};

async function twoLanguages(fixture) {
  const phone = { viewport: { width: 390, height: 844 } };
  const a = await fixture.person('ko', phone);
  const b = await fixture.person('en', phone);
  // Nobody else in these walks chooses them. Without the topic they would be matched after ten
  // seconds, and would read of nothing in common.
  await a.openLobby('늦은 밤 라면');
  await b.openLobby('late night ramen');
  await a.acceptRulesAndStart();
  await b.acceptRulesAndStart();
  await Promise.all([a.waitForTalk(), b.waitForTalk()]);
  for (const [person, word] of [
    [a, '늦은 밤 라면'],
    [b, 'late night ramen'],
  ]) {
    await eventually(
      `${person.locale} reads the own word`,
      () => person.$('.greeting p').first().innerText(),
      (shown) => shown.includes(word),
    );
  }
}
