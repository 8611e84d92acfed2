//! First sentences about a shared topic, by the topic's id (`src/matching/topics.rs`), for a tap
//! that fills the field. Loaded only for a talk without messages.

type Sentences = readonly [string, string];

const KO: Readonly<Record<string, Sentences>> = {
  film: ['두 번 넘게 본 영화가 있어요?', '최근에 본 영화 중에 뭐가 제일 좋았어요?'],
  music: ['요즘 자주 듣는 노래가 뭐예요?', '처음으로 좋아한 가수가 누구예요?'],
  cats: ['고양이랑 같이 살아요?', '고양이의 어떤 점이 제일 좋아요?'],
  travel: ['다시 가고 싶은 여행지가 있어요?', '여행 가면 꼭 하는 게 있어요?'],
  cooking: ['제일 자신 있는 요리가 뭐예요?', '오늘은 뭐 해 먹었어요?'],
  games: ['요즘 무슨 게임 해요?', '제일 오래 한 게임이 뭐예요?'],
  books: ['지금 읽고 있는 책이 있어요?', '누구에게나 권하는 책이 있어요?'],
  walking: ['좋아하는 산책길이 있어요?', '걸을 때 뭘 들어요?'],
  dogs: ['강아지랑 같이 살아요?', '길에서 강아지를 만나면 어떻게 해요?'],
  jazz: ['재즈를 처음 들은 게 언제예요?', '밤에 듣기 좋은 곡 하나만 알려 줄래요?'],
  hiking: ['제일 기억에 남는 산이 어디예요?', '산에 가면 뭘 싸 가요?'],
  coffee: ['커피는 어떻게 마셔요?', '하루에 몇 잔 마셔요?'],
  series: ['밤새워 본 드라마가 있어요?', '요즘 뭐 보고 있어요?'],
  photography: ['주로 뭘 찍어요?', '제일 아끼는 사진은 어떤 사진이에요?'],
  sport: ['어떤 운동을 해요?', '운동을 시작한 계기가 뭐예요?'],
  drawing: ['주로 뭘 그려요?', '그림은 언제부터 그렸어요?'],
  plants: ['집에 식물이 몇 개나 있어요?', '제일 오래 키운 식물이 뭐예요?'],
  baseball: ['어느 팀을 응원해요?', '처음 야구장에 간 날을 기억해요?'],
  football: ['어느 팀을 좋아해요?', '직접 뛰기도 해요?'],
  comics: ['제일 좋아하는 만화가 뭐예요?', '요즘 챙겨 보는 만화가 있어요?'],
  studying: ['요즘 뭘 공부해요?', '어디서 공부할 때 제일 잘돼요?'],
  programming: ['주로 뭘 만들어요?', '처음 만든 프로그램이 뭐예요?'],
  newjob: ['어떤 일을 하고 싶어요?', '옮기고 나서 제일 좋은 점이 뭐예요?'],
  rain: ['비 오는 날엔 뭘 봐요?', '거긴 지금 비 와요?'],
  ramen: ['라면에 뭘 넣어 먹어요?', '제일 좋아하는 라면이 뭐예요?'],
  knitting: ['지금 뭘 뜨고 있어요?', '처음 완성한 게 뭐예요?'],
  camping: ['제일 좋았던 캠핑장이 어디예요?', '캠핑 가면 뭐 해 먹어요?'],
  dancing: ['어떤 춤을 춰요?', '저절로 춤추게 되는 노래가 있어요?'],
  space: ['우주에 갈 수 있다면 어디로 갈래요?', '별을 보러 가 본 적 있어요?'],
  writing: ['주로 어떤 글을 써요?', '글은 언제 제일 잘 써져요?'],
  running: ['보통 얼마나 달려요?', '달릴 때 무슨 생각을 해요?'],
  cycling: ['주로 어디서 타요?', '제일 멀리 가 본 곳이 어디예요?'],
  baking: ['제일 자주 굽는 게 뭐예요?', '망한 이야기도 하나 있어요?'],
  anime: ['인생 애니가 뭐예요?', '요즘 보는 애니가 있어요?'],
  concerts: ['마지막으로 간 공연이 뭐예요?', '꼭 가 보고 싶은 공연이 있어요?'],
  boardgames: ['제일 좋아하는 보드게임이 뭐예요?', '보통 누구랑 해요?'],
  languages: ['어떤 언어를 배워요?', '제일 좋아하는 외국어 단어가 있어요?'],
  swimming: ['수영은 언제 배웠어요?', '수영장이 좋아요, 바다가 좋아요?'],
  sea: ['제일 좋아하는 바다가 어디예요?', '바다에 가면 뭐 해요?'],
  history: ['어느 시대가 제일 궁금해요?', '만나 보고 싶은 옛사람이 있어요?'],
};

const EN: Readonly<Record<string, Sentences>> = {
  film: ['Is there a film you’ve watched more than twice?', 'What’s the best film you’ve seen lately?'],
  music: ['What have you been listening to lately?', 'Who was the first musician you loved?'],
  cats: ['Do you live with a cat?', 'What do you like most about cats?'],
  travel: ['Is there a place you’d go back to?', 'What do you always do when you travel?'],
  cooking: ['What’s the dish you’re proudest of?', 'What did you cook today?'],
  games: ['What are you playing these days?', 'Which game have you played the longest?'],
  books: ['What are you reading right now?', 'Is there a book you’d give to anyone?'],
  walking: ['Do you have a favourite walk?', 'What do you listen to when you walk?'],
  dogs: ['Do you live with a dog?', 'What do you do when you meet a dog on the street?'],
  jazz: ['When did you first hear jazz?', 'Could you name one tune for a late night?'],
  hiking: ['Which hike do you remember best?', 'What do you take along on a hike?'],
  coffee: ['How do you take your coffee?', 'How many cups a day?'],
  series: ['Is there a series you watched through the night?', 'What are you watching these days?'],
  photography: ['What do you like to photograph?', 'Which of your photos do you like best?'],
  sport: ['Which sport do you do?', 'What got you into it?'],
  drawing: ['What do you like to draw?', 'How long have you been drawing?'],
  plants: ['How many plants do you have at home?', 'Which plant have you kept the longest?'],
  baseball: ['Which team is yours?', 'Do you remember your first game?'],
  football: ['Which team do you like?', 'Do you play yourself?'],
  comics: ['What’s your favourite comic?', 'Which one are you following now?'],
  studying: ['What are you studying?', 'Where do you study best?'],
  programming: ['What do you like to build?', 'What was the first program you wrote?'],
  newjob: ['What kind of work would you like to do?', 'What’s the best thing about the change?'],
  rain: ['What do you watch on a rainy day?', 'Is it raining where you are?'],
  ramen: ['What do you put in your ramen?', 'Which ramen do you like best?'],
  knitting: ['What are you knitting now?', 'What was the first thing you finished?'],
  camping: ['Where was your best night outside?', 'What do you cook when you camp?'],
  dancing: ['What kind of dance do you do?', 'Which song always makes you dance?'],
  space: ['If you could go anywhere in space, where would you go?', 'Have you ever travelled to see the stars?'],
  writing: ['What do you like to write?', 'When do you write best?'],
  running: ['How far do you usually run?', 'What do you think about when you run?'],
  cycling: ['Where do you like to ride?', 'What’s the farthest you’ve ridden?'],
  baking: ['What do you bake most often?', 'Do you have a baking disaster to tell?'],
  anime: ['Which anime stayed with you?', 'What are you watching these days?'],
  concerts: ['What was the last concert you went to?', 'Who would you love to see live?'],
  boardgames: ['What’s your favourite board game?', 'Who do you usually play with?'],
  languages: ['Which language are you learning?', 'Do you have a favourite foreign word?'],
  swimming: ['When did you learn to swim?', 'Do you prefer a pool or the sea?'],
  sea: ['Which sea do you like best?', 'What do you do when you’re at the sea?'],
  history: ['Which time in history makes you most curious?', 'Who from the past would you like to meet?'],
};

/** For a topic that somebody typed. */
const TYPED = {
  ko: ['{topic}, 언제부터 좋아했어요?', '{topic} 이야기, 어디서부터 해 볼까요?'],
  en: ['How did you get into {topic}?', 'What do you like most about {topic}?'],
} as const;

/** Without a shared topic. */
const ANY = {
  ko: ['오늘 하루는 어땠어요?', '요즘 뭐에 빠져 있어요?'],
  en: ['How was your day?', 'What are you into these days?'],
} as const;

const BY_ID = { ko: KO, en: EN } as const;

/**
 * Returns two sentences to begin with: one for each of the first two shared topics, or two for the
 * only one. `idOf` returns the id of a suggested topic.
 */
export function icebreakers(
  locale: 'ko' | 'en',
  topics: readonly string[],
  idOf: (topic: string) => string | null,
): readonly string[] {
  const [first, second] = topics.map((topic) => sentencesOf(locale, topic, idOf(topic)));
  if (first === undefined) return ANY[locale];
  // The second sentence of the second topic, so that two typed topics do not repeat one sentence.
  return second === undefined ? first : [first[0], second[1]];
}

function sentencesOf(locale: 'ko' | 'en', topic: string, id: string | null): Sentences {
  const known = id === null ? undefined : BY_ID[locale][id];
  if (known) return known;
  const [one, two] = TYPED[locale];
  return [one.replace('{topic}', () => topic), two.replace('{topic}', () => topic)];
}

/** The ids that have sentences, for the test. */
export const ids = { ko: Object.keys(KO), en: Object.keys(EN) };
