-- The first content of the pages about the site (rules, privacy, terms, contact), in both languages.
-- A node also shows the text between the dollar quotes before it has read its first sections
-- (src/cms/model.rs), so there is one source for both. The texts say what the software does; an
-- operator adds what only the operator can know. The figures are checked against the code
-- (src/limits_tests), and the edition of the rules against the version that visitors accept.
--
-- Empty lines separate paragraphs, and lines that begin with "- " are a list.

INSERT INTO page_section (group_id, page, locale, kind, position, draft, published_version)
SELECT md5('rules ' || number)::uuid, 'rules', 'ko', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($rules_ko$[
{"kind": "intro", "content": {
  "title": "이용 규칙",
  "lead": "서로 처음 만난 사람이에요. 다음을 지켜야 대화할 수 있어요.",
  "note": "2026-11판"}},
{"kind": "markdown", "content": {"title": "만 18세 이상",
  "text": "미성년자는 쓸 수 없어요. 상대가 미성년자로 보이면 대화를 멈추고 신고해 주세요."}},
{"kind": "markdown", "content": {"title": "불편하게 하지 않기",
  "text": "괴롭힘, 혐오, 협박, 원치 않는 성적인 말은 안 돼요. 상대가 그만하자고 하면 그만해요."}},
{"kind": "markdown", "content": {"title": "이름 없이 만나기",
  "text": "이름, 연락처, 사는 곳, 사진을 묻거나 다른 사람의 것을 알리지 않아요. 내 것도 알리지 않는 편이 안전해요."}},
{"kind": "markdown", "content": {"title": "광고하지 않기",
  "text": "광고, 도배, 돈을 부탁하는 메시지는 안 돼요."}},
{"kind": "markdown", "content": {"title": "언제든 나가도 돼요",
  "text": "이유를 말하지 않고 나가거나 신고할 수 있어요. 끝난 뒤에도 24시간 동안 신고할 수 있어요."}},
{"kind": "markdown", "content": {"title": "어기면",
  "text": "신고하면 그때의 메시지가 따로 보관돼요. 운영자는 그 사본을 보고 메시지를 보내지 못하게 하거나 대화하지 못하게 할 수 있어요. 가입하지 않아도 쓸 수 있어서, 브라우저 기록을 지우고 온 사람을 모두 알아보지는 못해요."}}
]$rules_ko$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO page_section (group_id, page, locale, kind, position, draft, published_version)
SELECT md5('rules ' || number)::uuid, 'rules', 'en', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($rules_en$[
{"kind": "intro", "content": {
  "title": "Rules",
  "lead": "You’re meeting a stranger, and so are they. To chat here, please follow these.",
  "note": "Edition 2026-11"}},
{"kind": "markdown", "content": {"title": "18 or over",
  "text": "Minors can’t use Maju. If you think the other person is under 18, stop and report."}},
{"kind": "markdown", "content": {"title": "Be kind",
  "text": "No harassment, hate, threats or unwanted sexual talk. When they want to stop, stop."}},
{"kind": "markdown", "content": {"title": "Meet without names",
  "text": "Don’t ask for names, numbers, addresses or pictures, and don’t share anybody else’s. It’s safer to keep your own to yourself as well."}},
{"kind": "markdown", "content": {"title": "Don’t advertise",
  "text": "No advertising, no flooding, no asking for money."}},
{"kind": "markdown", "content": {"title": "Leave whenever you like",
  "text": "You can leave or report without giving a reason. You can still report for 24 hours after the end."}},
{"kind": "markdown", "content": {"title": "If someone breaks them",
  "text": "A report stores a copy of the messages from that moment. The operator of this site can look at that copy, and can keep a person from writing or from chatting. Nobody has to sign up, so somebody who clears their browser isn’t always recognised."}}
]$rules_en$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO page_section (group_id, page, locale, kind, position, draft, published_version)
SELECT md5('privacy ' || number)::uuid, 'privacy', 'ko', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($privacy_ko$[
{"kind": "intro", "content": {
  "title": "개인정보",
  "lead": "무엇을 저장하고, 얼마나 두고, 누가 볼 수 있는지 있는 그대로 적었어요.",
  "note": "2026-11판"}},
{"kind": "markdown", "content": {"title": "묻지 않는 것",
  "text": "이름, 전화번호, 사진, 위치를 묻지 않아요. 계정이 없어도 쓸 수 있어요. 계정을 만들면 아이디와 비밀번호를 정하고, 메일 주소는 원할 때만 적어요.\n\n화면은 이 서버에서만 받아 와요. 광고도, 방문 분석도, 다른 회사의 스크립트도 없어요."}},
{"kind": "markdown", "content": {"title": "쿠키와 이 기기",
  "text": "쿠키는 세 가지예요.\n\n- 대화 화면을 열면 이 브라우저를 알아보는 쿠키가 생겨요. 30일 동안 쓰지 않으면 끝나요.\n- 언어를 고르거나 그 언어의 첫 화면에서 대화를 시작하면 그 언어를 기억해요.\n- 밝기를 고르면 그 밝기를 기억해요.\n\n고른 관심사, 아직 보내지 못한 메시지, 지난 대화 목록은 서버가 아니라 이 기기의 브라우저에 저장돼요. 브라우저 기록을 지우면 함께 지워져요."}},
{"kind": "markdown", "content": {"title": "서버에 저장하는 것",
  "text": "- 지어 준 이름(색과 동물), 화면 언어, 규칙을 확인한 때, 마지막으로 쓴 때\n- 찾는 동안 고른 관심사와 언어. 대화가 이어지면 그 대화와 함께 지워져요.\n- 대화의 메시지와 어디까지 읽었는지. 메시지마다 보낸 사람, 시각, 주소 앞부분을 알아볼 수 없게 바꾼 값(해시)이 붙어요.\n- 차단한 기록, 신고한 내용, 운영자가 내린 조치\n- 계정을 만들었다면 아이디, 비밀번호를 알아볼 수 없게 바꾼 값(해시), 적어 둔 메일 주소, 2단계 인증에 쓰는 비밀값, 로그인한 브라우저 종류와 시각\n\n인터넷 주소(IP)는 저장하지 않아요. 한곳에서 너무 많은 요청이 오는 것을 막으려고 잠시 메모리에서만 봐요. 서버 기록(로그)에는 메시지도 주소도 남지 않아요. 앞에 다른 서버를 두었다면 그 서버의 기록은 운영자가 정해요."}},
{"kind": "markdown", "content": {"title": "얼마나 보관되나요",
  "text": "- 대화: 끝난 뒤 24시간. 그동안 두 사람이 다시 읽을 수 있고, 그다음 누가 누구와 대화했는지도 함께 지워져요.\n- 신고한 대화의 사본: 고른 메시지와 가장 최근 메시지 50개까지 따로 보관돼요. 저절로 지워지는 날짜는 아직 없고, 운영자가 지울 때까지 남아요.\n- 방문자 정보: 아무것도 하지 않았으면 하루, 대화를 했으면 쿠키가 끝나고 남은 대화가 없을 때까지\n- 차단: 두 사람의 방문자 정보가 남아 있는 동안\n- 계정: 삭제를 누르고 14일이 지날 때까지\n- 운영자가 내린 조치와 그 사람의 방문자 정보: 저절로 지워지는 날짜가 아직 없어요.\n\n프로그램으로 만든 채팅방의 메시지는 방이 있는 동안 남아요. 채팅방 화면은 아직 없어요."}},
{"kind": "markdown", "content": {"title": "누가 볼 수 있나요",
  "text": "상대는 지어 준 이름, 둘 다 고른 관심사와 언어, 보낸 메시지를 봐요. 누가 신고하거나 차단했는지는 상대에게 알리지 않아요.\n\n신고한 메시지의 사본은 운영자가 봐요. 그 밖의 대화는 보지 않도록 만들었지만, 서버를 운영하는 사람은 기술적으로 저장된 내용을 볼 수 있어요. 메시지는 서버까지 오가는 길에서만 암호화되고, 두 사람만 읽을 수 있는 종단 간 암호화는 아니에요.\n\n이 프로그램은 다른 회사에 아무것도 보내지 않아요. 서버를 어디에 두는지는 운영자가 정해요."}},
{"kind": "markdown", "content": {"title": "지우고 싶다면",
  "text": "대화를 끝내면 24시간 뒤에 지워져요. 쿠키를 지우면 이 브라우저와 남은 정보를 이어 볼 방법이 없어지고, 그 정보는 위에 적은 때에 지워져요.\n\n이름도 연락처도 모르기 때문에, 누구의 대화인지 물어 와도 찾아 드릴 수 없어요."}},
{"kind": "contact", "content": {
  "title": "누가 운영하나요",
  "text": "마주는 누구나 자기 서버에서 운영할 수 있는 프로그램이에요. 이 사이트에 저장된 정보는 이 사이트를 운영하는 사람이 책임져요.",
  "given": "운영자 연락처",
  "missing": "운영자가 아직 연락처를 적지 않았어요."}}
]$privacy_ko$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO page_section (group_id, page, locale, kind, position, draft, published_version)
SELECT md5('privacy ' || number)::uuid, 'privacy', 'en', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($privacy_en$[
{"kind": "intro", "content": {
  "title": "Privacy",
  "lead": "What is stored, for how long, and who can see it. As it really is.",
  "note": "Edition 2026-11"}},
{"kind": "markdown", "content": {"title": "What we don’t ask",
  "text": "We don’t ask for a name, phone number, picture or location. You don’t need an account. If you make one, you choose a handle and a password, and you can add a mail address if you like.\n\nThe pages come from this server only. There are no ads, no analytics and no scripts of other companies."}},
{"kind": "markdown", "content": {"title": "Cookies and this device",
  "text": "There are three cookies.\n\n- Opening the chat makes a cookie that recognises this browser. It ends after 30 days without use.\n- Choosing a language, or starting a chat from the page in that language, stores the language.\n- Choosing a theme stores that theme.\n\nThe interests you choose, messages that aren’t sent yet and the list of recent chats are stored by your browser on this device, not on the server. Clearing your browser deletes them."}},
{"kind": "markdown", "content": {"title": "What the server stores",
  "text": "- The name we made up for you (a colour and an animal), the language of your screen, when you confirmed the rules and when you were last here\n- The interests and languages you look with. Once you’re matched, they’re deleted together with that chat.\n- The messages of a chat and how far you’ve read. With each message go its sender, its time, and a scrambled form (a keyed hash) of the first part of the sender’s address.\n- Your blocks, your reports, and what the operator decided about them\n- If you have an account: its handle, a hash of its password, the mail address if you added one, the secret of your second step, and the kind of browser and the times of your sign-ins\n\nIP addresses are not stored. To stop floods, the server looks at them for a moment, in memory only. Its log holds neither messages nor addresses. If another server stands in front of this one, its log is up to the operator."}},
{"kind": "markdown", "content": {"title": "How long it’s kept",
  "text": "- A chat: 24 hours after its end. Until then both of you can read it; after that, even the record of who chatted with whom is deleted.\n- The copy made by a report: the messages you picked and up to 50 of the newest are stored separately. They have no automatic end yet, and stay until the operator deletes them.\n- Visitor data: a day if you did nothing here; otherwise until your cookie has ended and no chat of yours is left\n- A block: as long as the visitor data of both people exists\n- An account: until 14 days after you ask to delete it\n- A decision of the operator, and the visitor data of that person: no automatic end yet\n\nMessages in chat rooms that programs create stay as long as the room exists. There’s no page for rooms yet."}},
{"kind": "markdown", "content": {"title": "Who can see it",
  "text": "The other person sees your made-up name, the interests and languages you share, and what you send. They are never told who reported or blocked them.\n\nThe operator sees the copy in a report. The software isn’t made for reading other chats, but the operator of the server is technically able to read what is stored. Messages are encrypted on their way to the server, not end to end.\n\nThe software sends nothing to other companies. Where the server stands is the operator’s choice."}},
{"kind": "markdown", "content": {"title": "If you want it deleted",
  "text": "End your chat, and it’s deleted 24 hours later. If you delete the cookie, nothing connects this browser with what is left, and that is deleted at the times above.\n\nWe know neither your name nor how to reach you, so we can’t look up whose chat is whose."}},
{"kind": "contact", "content": {
  "title": "Who runs this site",
  "text": "Maju is software that anybody can run on a server of their own. The operator of this site is responsible for what is stored here.",
  "given": "Contact of the operator",
  "missing": "The operator hasn’t given an address yet."}}
]$privacy_en$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO page_section (group_id, page, locale, kind, position, draft, published_version)
SELECT md5('terms ' || number)::uuid, 'terms', 'ko', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($terms_ko$[
{"kind": "intro", "content": {
  "title": "이용 약관",
  "lead": "짧고 쉬운 말로 적었어요. 마주를 쓰면 여기에 동의하는 거예요.",
  "note": "2026-11판"}},
{"kind": "markdown", "content": {"title": "무엇을 하는 곳인가요",
  "text": "처음 만난 두 사람이 이름 없이 글로 대화하는 곳이에요. 만 18세 이상이면 누구나 돈을 내지 않고 쓸 수 있어요."}},
{"kind": "markdown", "content": {"title": "내가 지킬 것",
  "text": "- 이용 규칙을 지켜요.\n- 내가 보낸 메시지는 내가 책임져요.\n- 서비스를 망가뜨리거나 다른 사람이 쓰지 못하게 하지 않아요."}},
{"kind": "markdown", "content": {"title": "내 메시지",
  "text": "내가 쓴 메시지는 내 것이에요. 서비스는 상대에게 전하고, 개인정보 안내에 적은 만큼 보관하고, 신고를 살펴보는 데에만 써요."}},
{"kind": "markdown", "content": {"title": "할 수 있는 것과 할 수 없는 것",
  "text": "‘보냄’이 붙은 메시지는 저장된 메시지예요. 하지만 서비스가 늘 열려 있다고는 약속하지 못해요. 점검이나 고장으로 멈출 수 있어요.\n\n상대가 누구인지, 하는 말이 사실인지는 확인하지 않아요. 상대가 화면을 찍거나 옮겨 적는 것도 막지 못해요."}},
{"kind": "markdown", "content": {"title": "막을 수 있어요",
  "text": "규칙을 어기면 운영자가 메시지를 보내지 못하게 하거나 대화하지 못하게 할 수 있어요. 대화하지 못하게 될 때는 이유와, 정해져 있으면 끝나는 때를 화면에서 알려 드려요."}},
{"kind": "markdown", "content": {"title": "바뀌면",
  "text": "이 약관이 바뀌면 위에 적힌 판이 바뀌어요. 이용 규칙이 바뀌면 다음 대화를 시작하기 전에 다시 확인을 받아요."}},
{"kind": "contact", "content": {
  "title": "누구와의 약속인가요",
  "text": "이 사이트를 운영하는 사람과의 약속이에요. 이 글은 프로그램에 들어 있는 기본 약관이고, 운영자가 사는 나라의 법에 따라 더 적을 것이 있을 수 있어요.",
  "given": "운영자 연락처",
  "missing": "운영자가 아직 연락처를 적지 않았어요."}}
]$terms_ko$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO page_section (group_id, page, locale, kind, position, draft, published_version)
SELECT md5('terms ' || number)::uuid, 'terms', 'en', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($terms_en$[
{"kind": "intro", "content": {
  "title": "Terms",
  "lead": "Short and in plain words. By using Maju you agree to them.",
  "note": "Edition 2026-11"}},
{"kind": "markdown", "content": {"title": "What this is",
  "text": "A place where two people who have never met chat in writing, without names. Anyone 18 or over can use it, free of charge."}},
{"kind": "markdown", "content": {"title": "What you agree to",
  "text": "- You follow the rules.\n- You are responsible for what you send.\n- You don’t break the service or keep others from using it."}},
{"kind": "markdown", "content": {"title": "Your messages",
  "text": "What you write stays yours. The service uses it only to deliver it, to keep it as long as the privacy page says, and to look into reports."}},
{"kind": "markdown", "content": {"title": "What we can and can’t do",
  "text": "A message marked “Sent” is a message that is stored. But we can’t promise that the service is always there: it can stop for maintenance or because something broke.\n\nWe don’t check who the other person is or whether what they say is true. We can’t stop them from taking a screenshot or copying what you write."}},
{"kind": "markdown", "content": {"title": "You can be stopped",
  "text": "If you break the rules, the operator can keep you from writing or from chatting. If you can’t chat any more, you’re shown the reason and, if there is one, the end."}},
{"kind": "markdown", "content": {"title": "If this changes",
  "text": "When these terms change, the edition above changes. When the rules change, you’re asked to confirm them before your next chat."}},
{"kind": "contact", "content": {
  "title": "Who you agree with",
  "text": "With the operator of this site. These are the default terms that come with the software; the law where the operator lives may ask for more.",
  "given": "Contact of the operator",
  "missing": "The operator hasn’t given an address yet."}}
]$terms_en$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO page_section (group_id, page, locale, kind, position, draft, published_version)
SELECT md5('contact ' || number)::uuid, 'contact', 'ko', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($contact_ko$[
{"kind": "intro", "content": {
  "title": "문의",
  "lead": "이 사이트를 운영하는 사람에게 연락하는 방법이에요.",
  "note": "급한 일이면 먼저 경찰이나 상담 전화에 연락하세요."}},
{"kind": "contact", "content": {
  "title": "운영자",
  "text": "사이트에 대한 질문, 개인정보, 운영자가 내린 조치에 대해 물어볼 수 있어요.",
  "given": "연락처",
  "missing": "운영자가 아직 연락처를 적지 않았어요. 이 사이트를 운영한다면 MAJU_CONTACT 설정에 메일 주소나 페이지 주소를 적어 주세요."}},
{"kind": "markdown", "content": {"title": "대화 중에 생긴 일",
  "text": "대화 화면의 ‘신고’를 눌러 주세요. 메시지가 함께 전달돼서 말로 설명하지 않아도 되고, 끝난 뒤 24시간 안에도 할 수 있어요."}},
{"kind": "markdown", "content": {"title": "급하면 여기로 먼저",
  "lines": [
    {"name": "경찰", "number": "112"},
    {"name": "자살 예방 상담", "number": "109"},
    {"name": "청소년 상담", "number": "1388"}]}}
]$contact_ko$::jsonb) WITH ORDINALITY AS listed (section, number);

INSERT INTO page_section (group_id, page, locale, kind, position, draft, published_version)
SELECT md5('contact ' || number)::uuid, 'contact', 'en', section ->> 'kind', number * 10, section -> 'content', 1
FROM jsonb_array_elements($contact_en$[
{"kind": "intro", "content": {
  "title": "Contact",
  "lead": "How to reach the operator of this site.",
  "note": "If it’s urgent, call the police or a crisis line first."}},
{"kind": "contact", "content": {
  "title": "The operator",
  "text": "Ask about the site, about your data, or about a decision that concerns you.",
  "given": "Address",
  "missing": "The operator hasn’t given an address yet. If you run this site, set MAJU_CONTACT to a mail address or a URL."}},
{"kind": "markdown", "content": {"title": "Something in a chat",
  "text": "Use Report in the chat. The messages go along, so you don’t have to explain, and you can still do it for 24 hours after the end."}},
{"kind": "markdown", "content": {"title": "If it’s urgent (in Korea)",
  "lines": [
    {"name": "Police", "number": "112"},
    {"name": "Crisis line", "number": "109"},
    {"name": "Youth line", "number": "1388"}]}}
]$contact_en$::jsonb) WITH ORDINALITY AS listed (section, number);

-- The first content of all pages, those of the landing page included, is version 1, published.
INSERT INTO section_version (section_id, version, kind, content, by, at)
SELECT id, 1, 'published', draft, saved_by, saved_at FROM page_section ORDER BY id;
