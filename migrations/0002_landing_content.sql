-- The first content of the landing page in both languages, and the figures it shows. A node also
-- shows the text between the dollar quotes before it has read its first sections
-- (src/cms/model.rs), so there is one source for both. A line break in a title is intended, and
-- kept.

INSERT INTO page_section (group_id, locale, kind, position, draft, published_version)
SELECT md5('landing ' || number)::uuid, 'ko', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($ko$[
{"kind": "hero", "content": {
  "title": "처음 만난 사람과\n이야기해 보세요.",
  "lead": "이름도 사진도 가입도 필요 없어요.\n한 사람과 마주 앉아, 글로만 이야기해요.",
  "button": "대화 시작",
  "more": "이용 방법",
  "echo": "Chat with\nsomeone you’ve\nnever met.",
  "echo_link": "Read this page in English"}},
{"kind": "stats", "content": {
  "title": "지금 마주에서는",
  "counters": {"online": "명", "talks_today": "번"}}},
{"kind": "topics", "content": {
  "title": "지금\n나누는 이야기",
  "lead": "찾고 있거나 대화하고 있는 사람들이 고른 관심사예요.\n다섯 명부터 보여요.",
  "counter": "명"}},
{"kind": "steps", "content": {
  "title": "좋아하는 것 하나면\n충분해요",
  "lead": "가입도, 프로필도 필요 없어요. 고르고, 만나고, 이야기하면 돼요.",
  "steps": [
    {"art": "choose", "title": "관심사와 언어를 골라요", "text": "재즈, 등산, 늦은 밤 라면. 다섯 개까지 고를 수 있고 비워 두어도 괜찮아요."},
    {"art": "meet", "title": "한 사람과 이어져요", "text": "같은 언어를 쓰고 같은 것을 좋아하는 사람부터 찾아요. 없으면 더 넓게 찾는다고 알려 드려요."},
    {"art": "talk", "title": "이야기하고, 언제든 나가요", "text": "맞지 않으면 다음으로 넘어가요. 이유를 묻지 않아요."}]}},
{"kind": "showcase", "content": {
  "title": "연결이 끊겨도\n대화는 그대로예요",
  "lead": "‘보냄’이 붙었다면 저장된 거예요. 다시 이어지면 빠진 메시지 없이, 두 화면에 같은 순서로 보여요.",
  "choice": "누구의 화면을 볼까요",
  "sent": "보냄",
  "shared": "둘 다 재즈를 좋아해요",
  "you": {"title": "내 화면", "partner": "남색 여우와", "face": {"color": "indigo", "animal": "fox"}, "note": "보낸 메시지가 저장되면 ‘보냄’ 표시가 붙어요."},
  "they": {"title": "상대 화면", "partner": "초록 수달과", "face": {"color": "pine", "animal": "otter"}, "note": "끊긴 동안 온 메시지도 빠짐없이 보여요."},
  "cut": {"before": 2, "you": "상대의 연결이 끊겼어요. 계속 쓸 수 있어요.", "they": "여기서 12초 동안 연결이 끊겼어요."},
  "messages": [
    {"from": "you", "at": "23:41", "text": "요즘 밤마다 재즈를 들어요."},
    {"from": "they", "at": "23:41", "text": "저도요. 제일 먼저 뭘 틀어요?"},
    {"from": "you", "at": "23:42", "text": "빌 에반스요. 비 오는 날엔 더 좋아요."},
    {"from": "they", "at": "23:43", "text": "여기 지금 비 와요."}]}},
{"kind": "safety", "content": {
  "title": "모르는 사이라서\n더 조심해서 만들었어요",
  "lead": "할 수 있는 일은 약속하고,\n할 수 없는 일은 숨기지 않아요.",
  "can": {"title": "마주가 하는 일", "items": [
    {"icon": "flag", "title": "신고는 늘 보이는 곳에 있어요", "text": "대화 중에도, 끝나고 24시간 안에도 할 수 있어요. 신고하면 대화가 그 자리에서 끝나요."},
    {"icon": "archive", "title": "신고에 담긴 메시지는 따로 보관해요", "text": "신고한 순간 그대로 보관해서, 대화가 지워진 뒤에도 운영자가 살펴볼 수 있어요. 지우는 기한은 아직 없어요."},
    {"icon": "fading", "title": "끝난 대화는 지워져요", "text": "24시간 동안 두 사람이 다시 읽을 수 있고, 그다음 지워져요. 신고에 담긴 메시지만 남아요."},
    {"icon": "block", "title": "차단하면 다시 만나지 않아요", "text": "이 브라우저에서는 그 사람과 다시 이어 드리지 않아요."},
    {"icon": "adult", "title": "만 18세부터 쓸 수 있어요", "text": "처음 대화하기 전에 만 18세 이상인지 묻고, 규칙을 지키겠다는 약속을 받아요."}]},
  "cannot": {"title": "마주가 할 수 없는 일", "items": [
    {"icon": "camera", "title": "화면을 찍는 것은 막지 못해요", "text": "보여 주고 싶지 않은 것은 보내지 마세요."},
    {"icon": "question", "title": "상대의 말이 사실인지 알 수 없어요", "text": "나이, 사는 곳, 하는 일을 확인하지 않아요."},
    {"icon": "return", "title": "새로 온 척하는 사람을 다 알아보지 못해요", "text": "가입하지 않아도 쓸 수 있어서, 브라우저 기록을 지우고 오면 처음 온 사람으로 보여요."},
    {"icon": "lock", "title": "알려 준 연락처는 되돌릴 수 없어요", "text": "이름, 전화번호, 사는 곳은 말하지 않는 편이 좋아요."}]},
  "help": {"title": "급하면 여기로 먼저 연락하세요", "lines": [
    {"name": "경찰", "number": "112"},
    {"name": "자살 예방 상담", "number": "109"},
    {"name": "청소년 상담", "number": "1388"}]}}},
{"kind": "storage", "content": {
  "title": "무엇이 남고,\n언제 지워지나요",
  "lead": "저장하는 것과 지워지는 때를 그대로 적었어요. 기한이 없는 것도 숨기지 않아요.",
  "link": "개인정보 자세히 보기",
  "items": [
    {"how_long": "24시간", "title": "대화, 그리고 찾을 때 고른 것", "text": "대화가 끝나고 24시간이 지나면 누가 누구와 이야기했는지까지 지워져요."},
    {"how_long": "30일", "title": "이 브라우저를 알아보는 쿠키", "text": "30일 동안 쓰지 않으면 끝나요. 남은 대화가 없으면 방문자 정보와 차단도 지워져요."},
    {"how_long": "기한 없음", "title": "신고에 담긴 메시지", "text": "고른 메시지와 가장 최근 메시지를 따로 보관하고, 운영자가 지울 때까지 남아요."},
    {"how_long": "저장 안 함", "title": "이름, 전화번호, 위치, IP 주소", "text": "묻지도 저장하지도 않아요. 메시지마다 주소 앞부분을 알아볼 수 없게 바꾼 값만 붙어요."}]}},
{"kind": "faq", "content": {
  "title": "자주 묻는 질문",
  "items": [
    {"question": "가입해야 하나요?", "answer": "아니요. 바로 시작할 수 있어요. 대화 화면을 열면 이 브라우저를 알아보는 쿠키가 하나 생기고, 30일 동안 쓰지 않으면 지워져요."},
    {"question": "상대는 나에 대해 무엇을 보나요?", "answer": "‘초록 수달’처럼 색과 동물로 지은 이름, 둘 다 고른 관심사, 둘 다 쓰는 언어가 보여요. 입력하고 있는지, 읽었는지, 연결돼 있는지도 보여요. 사진과 프로필은 없어요."},
    {"question": "어떤 언어로 이야기하나요?", "answer": "대화할 수 있는 언어를 고르면 같은 언어를 쓰는 사람과 이어져요. 화면은 한국어와 영어로 볼 수 있어요."},
    {"question": "연결이 끊기면 대화도 끝나나요?", "answer": "30초 안에 돌아오면 그대로 이어져요. 그사이 상대가 보낸 메시지도 빠짐없이 보여요."},
    {"question": "무엇이 저장되나요?", "answer": "서버에는 메시지, 찾을 때 고른 관심사와 언어, 접속 주소를 알아볼 수 없게 바꾼 값, 쿠키로 알아보는 방문자 정보, 차단, 신고와 거기에 담긴 메시지가 저장돼요. 이 기기에는 고른 관심사와 언어, 지난 대화 목록, 쓰던 메시지, 언어와 밝기 설정이 저장돼요."},
    {"question": "얼마나 보관되나요?", "answer": "메시지와 찾을 때 고른 내용은 대화가 끝나고 24시간이 지나면 지워져요. 쿠키와 방문자 정보는 30일 동안 쓰지 않으면 차단과 함께 지워져요. 신고와 거기에 담긴 메시지는 운영자만 읽을 수 있고, 지우는 기한은 아직 없어요. 이용이 제한된 사람의 정보는 제한 기록과 함께 남아요."},
    {"question": "불편한 사람을 만나면요?", "answer": "‘다음’을 두 번 누르면 바로 넘어가요. 신고하거나 차단하면 대화가 그 자리에서 끝나고, 그 사람과 다시 이어지지 않아요."}]}},
{"kind": "operator", "content": {
  "title": "누가\n운영하나요",
  "text": "마주는 소스가 공개된 소프트웨어예요. 누구나 자기 서버에서 운영할 수 있어서 사이트마다 운영자가 달라요. 여기 저장된 것은 이 사이트의 운영자가 책임져요.",
  "label": "운영자",
  "unnamed": "{host} 운영자",
  "host_label": "사이트",
  "link": "운영자에게 문의하기"}},
{"kind": "action", "content": {
  "title": "맞은편 자리가\n비어 있어요.",
  "button": "대화 시작",
  "side": "가입 없이 시작해요. 만 18세 이상이면 누구나 쓸 수 있어요."}}
]$ko$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO page_section (group_id, locale, kind, position, draft, published_version)
SELECT md5('landing ' || number)::uuid, 'en', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($en$[
{"kind": "hero", "content": {
  "title": "Chat with\nsomeone you’ve\nnever met.",
  "lead": "No name, no photo, no sign-up.\nOne person, just words, face to face.",
  "button": "Meet someone",
  "more": "How it works",
  "echo": "처음 만난 사람과\n이야기해 보세요.",
  "echo_link": "한국어로 보기"}},
{"kind": "stats", "content": {
  "title": "Right now",
  "counters": {}}},
{"kind": "topics", "content": {
  "title": "What people\nchat about now",
  "lead": "What people chose who are looking or chatting at this moment. Shown from five people on.",
  "counter": "people"}},
{"kind": "steps", "content": {
  "title": "One thing you like\nis enough",
  "lead": "No sign-up and no profile needed. Choose, meet, chat.",
  "steps": [
    {"art": "choose", "title": "Choose what you like", "text": "Jazz, hiking, late-night ramen: up to five, or none at all. And the languages you can chat in."},
    {"art": "meet", "title": "Meet one person", "text": "We look for someone with your language who likes it too. If nobody’s there, we look wider and say so."},
    {"art": "talk", "title": "Chat, and leave any time", "text": "Not a fit? Move on. Nobody asks why."}]}},
{"kind": "showcase", "content": {
  "title": "Your connection drops,\nnothing is missing",
  "lead": "“Sent” means it is stored. When you’re back, both screens show every message, in the same order.",
  "choice": "Whose screen",
  "sent": "Sent",
  "shared": "You both like jazz",
  "you": {"title": "Your screen", "partner": "with Indigo Fox", "face": {"color": "indigo", "animal": "fox"}, "note": "A tick appears once your message is stored."},
  "they": {"title": "Their screen", "partner": "with Green Otter", "face": {"color": "pine", "animal": "otter"}, "note": "What arrived in the meantime is there, all of it."},
  "cut": {"before": 2, "you": "Their connection dropped. You can keep writing.", "they": "Offline here for 12 seconds."},
  "messages": [
    {"from": "you", "at": "23:41", "text": "I’ve been listening to jazz every night."},
    {"from": "they", "at": "23:41", "text": "Me too. What do you put on first?"},
    {"from": "you", "at": "23:42", "text": "Bill Evans. Even better when it rains."},
    {"from": "they", "at": "23:43", "text": "It’s raining here right now."}]}},
{"kind": "safety", "content": {
  "title": "Strangers need\nmore care, not less",
  "lead": "We promise what we can do, and we don’t hide what we can’t.",
  "can": {"title": "What we do", "items": [
    {"icon": "flag", "title": "Report is always in sight", "text": "During a chat, or within 24 hours after. A report ends the chat on the spot."},
    {"icon": "archive", "title": "Reported messages are stored separately", "text": "We keep a copy from that moment, so moderators can look into it after the chat is gone. There’s no deletion date yet."},
    {"icon": "fading", "title": "Chats are deleted", "text": "Both of you can read it for 24 hours after it ends. Then it’s deleted, apart from messages in a report."},
    {"icon": "block", "title": "A block lasts", "text": "We won’t pair you with them again in this browser."},
    {"icon": "adult", "title": "18 and over", "text": "Before your first chat we ask whether you’re 18 or over, and you promise to follow the rules."}]},
  "cannot": {"title": "What we can’t do", "items": [
    {"icon": "camera", "title": "Stop a screenshot", "text": "If it shouldn’t be seen again, don’t send it."},
    {"icon": "question", "title": "Know if they’re telling the truth", "text": "We don’t verify age, place or work."},
    {"icon": "return", "title": "Recognise everyone who starts over", "text": "Nobody has to sign up, so somebody who clears their browser is new to us."},
    {"icon": "lock", "title": "Take back a phone number", "text": "Keep your name, number and address to yourself."}]},
  "help": {"title": "If it’s urgent, call first (in Korea)", "lines": [
    {"name": "Police", "number": "112"},
    {"name": "Crisis line", "number": "109"},
    {"name": "Youth line", "number": "1388"}]}}},
{"kind": "storage", "content": {
  "title": "What is kept,\nand until when",
  "lead": "We say what is stored and when it’s deleted. Where there’s no end yet, we say that too.",
  "link": "More about privacy",
  "items": [
    {"how_long": "24 hours", "title": "The chat, and what you searched with", "text": "24 hours after a chat ends it’s deleted, even the record of who chatted with whom."},
    {"how_long": "30 days", "title": "The cookie that recognises this browser", "text": "It ends after 30 days without use. Once no chat of yours is left, visitor data and blocks are deleted too."},
    {"how_long": "No end yet", "title": "Messages in a report", "text": "What was picked and the newest messages are stored separately, until the operator deletes them."},
    {"how_long": "Not stored", "title": "Name, phone number, location, IP address", "text": "We don’t ask for them, and we don’t store them. Each message carries only a scrambled form of the first part of the address."}]}},
{"kind": "faq", "content": {
  "title": "Questions",
  "items": [
    {"question": "Do I need an account?", "answer": "No. You can start right away. When you open the chat page you get a cookie that recognises this browser. It’s deleted after 30 days without use."},
    {"question": "What do they see about me?", "answer": "A name made of a colour and an animal, such as Green Otter, and the interests and languages you share. Also whether you’re typing, have read, and are connected. There are no photos and no profiles."},
    {"question": "Which language do we chat in?", "answer": "You choose the ones you can chat in, and you’re paired with someone who chose one of them. The screens are in Korean and English."},
    {"question": "Does a lost connection end the chat?", "answer": "Not if you’re back within 30 seconds. Whatever they wrote in the meantime is there, all of it."},
    {"question": "What is stored?", "answer": "On the server: your messages, the interests and languages you searched with, a scrambled form of your network address, the visitor that your cookie stands for, blocks, and reports with the messages in them. On this device: your interests and languages, the list of recent chats, a message you haven’t sent yet, and your language and theme."},
    {"question": "How long is it kept?", "answer": "Messages and what you searched with are deleted 24 hours after the chat ends. The cookie and the visitor are deleted after 30 days without use, and blocks go with them. Reports and the messages in them can be read only by the people who run this site, and have no deletion date yet. If somebody is banned or muted, their visitor is kept with that record."},
    {"question": "What if someone makes me uncomfortable?", "answer": "Tap Next twice and you’ve moved on. A report or a block ends the chat on the spot, and you won’t be paired with them again."}]}},
{"kind": "operator", "content": {
  "title": "Who runs\nthis site",
  "text": "Maju is open-source software that anybody can run on a server of their own, so each site has its own operator. The operator of this site is responsible for what is stored here.",
  "label": "Operator",
  "unnamed": "The operator of {host}",
  "host_label": "Site",
  "link": "Contact the operator"}},
{"kind": "action", "content": {
  "title": "The seat across\nis empty.",
  "button": "Meet someone",
  "side": "No sign-up needed. For anyone 18 and over."}}
]$en$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO site_stat (key, source, position, unit, hide_below, label) VALUES
    ('online', 'online', 10, 'count', 5, '{"ko": "지금 함께 있어요", "en": "here now"}'),
    ('talks_today', 'talks_today', 20, 'count', 1, '{"ko": "오늘 시작한 대화", "en": "chats started today"}'),
    ('median_wait', 'median_wait', 30, 'seconds', 1, '{"ko": "보통 기다리는 시간", "en": "usual wait"}');

-- For the figures: today's talks and the waits of the last hour are counted every few seconds.
CREATE INDEX random_session_created ON random_session (created_at);
