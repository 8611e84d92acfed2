-- The first content of the landing page in both languages, and the figures it shows. A node also
-- shows the text between the dollar quotes before it has read its first sections
-- (src/cms/model.rs), so there is one source for both. A line break in a title is intended, and
-- kept.

INSERT INTO page_section (locale, kind, position, content)
SELECT 'ko', section ->> 'kind', number * 10, section -> 'content'
FROM jsonb_array_elements($ko$[
{"kind": "hero", "content": {
  "title": "처음 만난 사람과\n이야기해 보세요.",
  "lead": "이름도 사진도 가입도 필요 없어요. 한 사람과 글로, 마주 앉아 이야기해요.",
  "button": "대화 시작",
  "more": "어떻게 하나요",
  "echo": "Talk with\nsomeone you’ve\nnever met.",
  "echo_link": "Read this page in English"}},
{"kind": "stats", "content": {
  "title": "지금 마주에서는",
  "counters": {"online": "명", "talks_today": "번"}}},
{"kind": "steps", "content": {
  "title": "좋아하는 것 하나면\n충분해요",
  "lead": "가입도, 프로필도 없어요. 고르고, 만나고, 이야기하면 돼요.",
  "steps": [
    {"art": "choose", "title": "관심사와 말을 골라요", "text": "재즈, 등산, 늦은 밤 라면. 다섯 개까지 고를 수 있고 비워 두어도 괜찮아요."},
    {"art": "meet", "title": "한 사람과 이어져요", "text": "같은 말을 쓰고 같은 것을 좋아하는 사람부터 찾아요. 없으면 더 넓게 찾는다고 알려 드려요."},
    {"art": "talk", "title": "이야기하고, 언제든 나가요", "text": "맞지 않으면 다음으로 넘어가요. 이유를 묻지 않아요."}]}},
{"kind": "showcase", "content": {
  "title": "한 대화,\n두 화면에 똑같이",
  "lead": "‘보냄’은 안전하게 저장된 뒤에만 붙어요. 연결이 끊겼다 이어져도 빠진 글 없이, 같은 순서로 보여요.",
  "choice": "누구의 화면을 볼까요",
  "sent": "보냄",
  "shared": "둘 다 재즈를 좋아해요",
  "you": {"title": "내 화면", "partner": "남색 여우와", "note": "보낸 글은 저장되면 표시가 붙어요."},
  "they": {"title": "상대 화면", "partner": "초록 수달과", "note": "잠시 끊겼다 돌아와도 그대로예요."},
  "messages": [
    {"from": "you", "at": "23:41", "text": "요즘 밤마다 재즈를 들어요."},
    {"from": "they", "at": "23:41", "text": "저도요. 제일 먼저 뭘 틀어요?"},
    {"from": "you", "at": "23:42", "text": "빌 에반스요. 비 오는 날엔 더 좋아요."},
    {"from": "they", "at": "23:43", "text": "여기 지금 비 와요."}]}},
{"kind": "safety", "content": {
  "title": "모르는 사이라서\n더 조심해서 만들었어요",
  "lead": "할 수 있는 일은 약속하고, 할 수 없는 일은 숨기지 않아요.",
  "can": {"title": "마주가 하는 일", "items": [
    {"icon": "flag", "title": "신고는 늘 보이는 곳에 있어요", "text": "대화 중에도, 끝나고 24시간 안에도 할 수 있어요. 신고하면 대화가 그 자리에서 끝나요."},
    {"icon": "archive", "title": "신고한 글은 그대로 남겨 둬요", "text": "신고한 순간의 글을 따로 보관해서, 대화가 지워진 뒤에도 살펴볼 수 있어요."},
    {"icon": "fading", "title": "끝난 대화는 지워져요", "text": "24시간 동안 두 사람이 다시 읽을 수 있고, 그다음 지워져요. 신고한 대화만 남아요."},
    {"icon": "block", "title": "차단은 끝까지 지켜요", "text": "이름을 바꿔 와도 차단한 사람과는 이어지지 않아요."},
    {"icon": "adult", "title": "만 18세부터 쓸 수 있어요", "text": "처음 대화하기 전에 나이와 규칙을 확인해요."}]},
  "cannot": {"title": "마주가 할 수 없는 일", "items": [
    {"icon": "camera", "title": "화면을 찍는 것은 막지 못해요", "text": "보여 주고 싶지 않은 것은 보내지 마세요."},
    {"icon": "question", "title": "상대의 말이 사실인지 알 수 없어요", "text": "나이, 사는 곳, 하는 일을 확인하지 않아요."},
    {"icon": "return", "title": "새로 온 척하는 사람을 다 알아보지 못해요", "text": "가입이 없어서, 브라우저를 비우고 오면 처음 온 사람으로 보여요."},
    {"icon": "lock", "title": "알려 준 연락처는 되돌릴 수 없어요", "text": "이름, 전화번호, 사는 곳은 말하지 않는 편이 좋아요."}]},
  "help": {"title": "급하면 여기로 먼저 연락하세요", "lines": [
    {"name": "경찰", "number": "112"},
    {"name": "자살 예방 상담", "number": "109"},
    {"name": "청소년 상담", "number": "1388"}]}}},
{"kind": "faq", "content": {
  "title": "자주 묻는 말",
  "items": [
    {"question": "가입해야 하나요?", "answer": "아니요. 바로 시작할 수 있어요. 대화를 시작할 때 이 브라우저를 알아보는 쿠키를 만들고, 직접 고른 언어와 밝기를 기억할 뿐이에요."},
    {"question": "상대는 나에 대해 무엇을 보나요?", "answer": "‘초록 수달’처럼 색과 동물로 지은 이름, 둘 다 고른 관심사, 둘 다 쓰는 말만 보여요. 사진과 프로필은 없어요."},
    {"question": "어떤 말로 이야기하나요?", "answer": "쓸 수 있는 말을 고르면 같은 말을 쓰는 사람과 이어져요. 화면은 한국어와 영어로 볼 수 있어요."},
    {"question": "연결이 끊기면 대화도 끝나나요?", "answer": "30초 안에 돌아오면 그대로 이어져요. 그사이 상대가 보낸 글도 빠짐없이 보여요."},
    {"question": "대화는 얼마나 남나요?", "answer": "끝난 뒤 24시간 동안 두 사람 모두 다시 읽을 수 있고, 그다음 지워져요. 신고한 대화는 살펴볼 수 있게 남겨 둬요."},
    {"question": "불편한 사람을 만나면요?", "answer": "‘다음’을 두 번 누르면 바로 넘어가요. 신고하면 대화가 그 자리에서 끝나고, 차단하면 그 사람과 다시 이어지지 않아요."}]}},
{"kind": "action", "content": {
  "title": "맞은편 자리가\n비어 있어요.",
  "button": "대화 시작",
  "side": "가입 없이 시작해요. 만 18세 이상이면 누구나 쓸 수 있어요."}}
]$ko$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO page_section (locale, kind, position, content)
SELECT 'en', section ->> 'kind', number * 10, section -> 'content'
FROM jsonb_array_elements($en$[
{"kind": "hero", "content": {
  "title": "Talk with\nsomeone you’ve\nnever met.",
  "lead": "No name, no photo, no sign-up. One person, in writing, face to face.",
  "button": "Meet someone",
  "more": "How it works",
  "echo": "처음 만난 사람과\n이야기해 보세요.",
  "echo_link": "한국어로 보기"}},
{"kind": "stats", "content": {
  "title": "Right now",
  "counters": {}}},
{"kind": "steps", "content": {
  "title": "One thing you like\nis enough",
  "lead": "No sign-up and no profile. Choose, meet, talk.",
  "steps": [
    {"art": "choose", "title": "Choose what you like", "text": "Jazz, hiking, late-night ramen: up to five, or none at all. And the languages you speak."},
    {"art": "meet", "title": "Meet one person", "text": "We look for someone with your language who likes it too. If nobody’s there, we look wider and say so."},
    {"art": "talk", "title": "Talk, and leave any time", "text": "Not a fit? Move on. Nobody asks why."}]}},
{"kind": "showcase", "content": {
  "title": "One talk,\nthe same on both sides",
  "lead": "“Sent” means safely stored, never just hoped for. If the line drops, the talk comes back whole and in the same order.",
  "choice": "Whose screen",
  "sent": "Sent",
  "shared": "You both like jazz",
  "you": {"title": "Your screen", "partner": "with Indigo Fox", "note": "A tick appears once your message is stored."},
  "they": {"title": "Their screen", "partner": "with Green Otter", "note": "Away for a moment, and nothing is missing."},
  "messages": [
    {"from": "you", "at": "23:41", "text": "I’ve been listening to jazz every night."},
    {"from": "they", "at": "23:41", "text": "Me too. What do you put on first?"},
    {"from": "you", "at": "23:42", "text": "Bill Evans. Even better when it rains."},
    {"from": "they", "at": "23:43", "text": "It’s raining here right now."}]}},
{"kind": "safety", "content": {
  "title": "Strangers need\nmore care, not less",
  "lead": "We promise what we can do, and we don’t hide what we can’t.",
  "can": {"title": "What we do", "items": [
    {"icon": "flag", "title": "Report is always in sight", "text": "During a talk, or within 24 hours after. A report ends the talk on the spot."},
    {"icon": "archive", "title": "Reported messages are kept as they were", "text": "We keep a copy from that moment, so it can be looked into after the talk is gone."},
    {"icon": "fading", "title": "Talks are deleted", "text": "Both of you can read it for 24 hours after it ends. Then it’s deleted, unless it was reported."},
    {"icon": "block", "title": "A block holds", "text": "A new name doesn’t undo it. You won’t be paired with them again."},
    {"icon": "adult", "title": "18 and over", "text": "We ask for your age and the rules before your first talk."}]},
  "cannot": {"title": "What we can’t do", "items": [
    {"icon": "camera", "title": "Stop a screenshot", "text": "If it shouldn’t be seen again, don’t send it."},
    {"icon": "question", "title": "Know if they’re telling the truth", "text": "We don’t verify age, place or work."},
    {"icon": "return", "title": "Recognise everyone who starts over", "text": "Without sign-up, somebody who clears their browser is new to us."},
    {"icon": "lock", "title": "Take back a phone number", "text": "Keep your name, number and address to yourself."}]},
  "help": {"title": "If it’s urgent, call first (in Korea)", "lines": [
    {"name": "Police", "number": "112"},
    {"name": "Crisis line", "number": "109"},
    {"name": "Youth line", "number": "1388"}]}}},
{"kind": "faq", "content": {
  "title": "Questions",
  "items": [
    {"question": "Do I need an account?", "answer": "No. You can start right away. When you open the chat we make a cookie that recognises this browser, and we keep the language and theme you choose. That is all."},
    {"question": "What do they see about me?", "answer": "A name made of a colour and an animal, such as Green Otter, and the interests and languages you share. There are no photos and no profiles."},
    {"question": "Which language do we talk in?", "answer": "You say which ones you speak, and you’re paired with somebody who speaks one of them. The screens are in Korean and English."},
    {"question": "Does a lost connection end the talk?", "answer": "Not if you’re back within 30 seconds. Whatever they wrote in the meantime is there, all of it."},
    {"question": "How long is a talk kept?", "answer": "Both of you can read it for 24 hours after it ends, and then it’s deleted. A reported talk is kept so that it can be looked into."},
    {"question": "What if someone makes me uncomfortable?", "answer": "Press Next twice and you’re gone. A report ends the talk on the spot, and a block means you’re never paired with them again."}]}},
{"kind": "action", "content": {
  "title": "The seat across\nis empty.",
  "button": "Meet someone",
  "side": "No sign-up. For anyone 18 and over."}}
]$en$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO site_stat (key, position, unit, label) VALUES
    ('online', 10, 'count', '{"ko": "지금 함께 있어요", "en": "here now"}'),
    ('talks_today', 20, 'count', '{"ko": "오늘 시작한 대화", "en": "talks started today"}'),
    ('median_wait', 30, 'seconds', '{"ko": "보통 이만큼 기다려요", "en": "usual wait"}');

-- For the figures: today's talks and the waits of the last hour are counted every few seconds.
CREATE INDEX random_session_created ON random_session (created_at);
