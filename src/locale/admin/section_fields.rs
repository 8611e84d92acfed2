//! The names of sections and of their fields, in all languages side by side.
use crate::locale::Locale;

/// A text of the back-office in each language.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    pub ko: &'static str,
    pub en: &'static str,
}

impl Words {
    /// Returns the text in a language.
    pub fn text(&self, locale: Locale) -> &'static str {
        match locale {
            Locale::Ko => self.ko,
            Locale::En => self.en,
        }
    }
}

const fn words(ko: &'static str, en: &'static str) -> Words {
    Words { ko, en }
}

// The kinds of sections, and what each is for.

pub static HERO: Words = words("첫 문장", "Opening");
pub static HERO_ABOUT: Words =
    words("첫 화면에서 가장 먼저 읽는 문장과 단추", "The first sentence of the page, with its button");
pub static STATS: Words = words("숫자", "Numbers");
pub static STATS_ABOUT: Words = words("지금 있는 사람, 오늘 시작한 대화", "Who is here now, chats started today");
pub static TOPICS: Words = words("지금 나누는 이야기", "Topics now");
pub static TOPICS_ABOUT: Words = words("지금 사람들이 고른 관심사", "What people chose to chat about");
pub static STEPS: Words = words("이용 방법", "How it works");
pub static STEPS_ABOUT: Words = words("그림이 있는 단계", "Steps, each with a drawing");
pub static SHOWCASE: Words = words("대화 장면", "A chat on two screens");
pub static SHOWCASE_ABOUT: Words = words("두 사람의 화면에 나란히 보이는 대화", "One chat as both people see it");
pub static ROOMS: Words = words("공개 채팅방", "Public rooms");
pub static ROOMS_ABOUT: Words = words("지금 열려 있는 방", "Rooms that are open now");
pub static INSIGHTS: Words = words("그래프", "Charts");
pub static INSIGHTS_ABOUT: Words = words("대화 수, 붐비는 시간, 언어", "Chats a day, busy hours, languages");
pub static SAFETY: Words = words("안전", "Safety");
pub static SAFETY_ABOUT: Words = words("약속하는 일과 할 수 없는 일", "What we promise, and what we can’t do");
pub static STORAGE: Words = words("저장하는 것", "What is kept");
pub static STORAGE_ABOUT: Words = words("무엇을 언제까지 저장하는지", "What is stored, and until when");
pub static OPERATOR: Words = words("운영자", "Operator");
pub static OPERATOR_ABOUT: Words = words("이 사이트를 누가 운영하는지", "Who runs this site");
pub static FAQ: Words = words("자주 묻는 질문", "Questions");
pub static FAQ_ABOUT: Words = words("펼쳐서 읽는 질문과 답", "Questions that open to their answers");
pub static ACTION: Words = words("마지막 권유", "Closing");
pub static ACTION_ABOUT: Words = words("페이지 끝의 문장과 단추", "The last sentence, with the button again");
pub static MARKDOWN: Words = words("글", "Text");
pub static MARKDOWN_ABOUT: Words = words("제목과 문단, 목록, 링크", "A title with paragraphs, lists and links");
pub static INTRO: Words = words("머리글", "Introduction");
pub static INTRO_ABOUT: Words = words("페이지의 제목과 첫 문장", "The title of the page and its first sentence");
pub static CONTACT: Words = words("연락처", "Contact");
pub static CONTACT_ABOUT: Words = words("운영자에게 연락하는 방법", "How to reach the operator");
pub static UNKNOWN_KIND: Words = words("구역", "Section");

// Fields that several kinds have.

pub static TITLE: Words = words("제목", "Title");
pub static TITLE_HELP: Words = words("줄을 바꾸면 그대로 보여요.", "Line breaks are kept.");
pub static LEAD: Words = words("설명", "Introduction");
pub static TEXT: Words = words("글", "Text");
pub static MARKDOWN_HELP: Words = words(
    "빈 줄로 문단을 나눠요. 목록은 줄 앞에 - 를, 굵은 글은 양쪽에 ** 를 써요.",
    "An empty line starts a paragraph, - starts an item of a list, ** around words makes them bold.",
);
pub static BUTTON: Words = words("단추", "Button");
pub static LINK: Words = words("링크 글", "Link text");
pub static ITEMS: Words = words("항목", "Items");
pub static ITEM: Words = words("항목", "Item");
pub static ICON: Words = words("그림", "Drawing");
pub static NOTE: Words = words("작은 글", "Small print");
pub static LINES: Words = words("전화번호", "Telephone lines");
pub static LINE: Words = words("전화", "Line");
pub static NAME: Words = words("이름", "Name");
pub static NUMBER: Words = words("번호", "Number");
pub static IMAGE: Words = words("이미지", "Image");
pub static IMAGE_ID: Words = words("이미지 번호", "Image number");
pub static IMAGE_ID_HELP: Words =
    words("‘이미지’에서 복사해 붙여요. 비우면 이미지가 없어요.", "Copy it from Images. Empty means no image.");
pub static ALT: Words = words("이미지를 설명하는 글", "Description of the image");

// Fields of single kinds.

pub static MORE: Words = words("두 번째 링크", "Second link");
pub static ECHO: Words = words("다른 언어로 한 번 더", "Echo in the other language");
pub static ECHO_HELP: Words =
    words("첫 문장을 다른 언어로 적어요.", "The first sentence again, in the other language.");
pub static ECHO_LINK: Words = words("다른 언어로 가는 링크", "Link to the other language");
pub static COUNTERS: Words = words("숫자 뒤에 붙는 말", "Words after the numbers");
pub static COUNTER: Words = words("사람 수 뒤에 붙는 말", "Word after the number of people");
pub static COUNT: Words = words("보여 줄 수", "How many are shown");
pub static CHARTS: Words = words("보여 줄 그래프", "Charts");
pub static STEP_LIST: Words = words("단계", "Steps");
pub static STEP: Words = words("단계", "Step");
pub static CHOICE: Words = words("화면을 고르는 곳의 이름", "Label of the choice of a screen");
pub static SENT: Words = words("보낸 표시", "Sent mark");
pub static SHARED: Words = words("둘이 함께 고른 것", "What both chose");
pub static YOU: Words = words("내 화면", "Own screen");
pub static THEY: Words = words("상대 화면", "Other screen");
pub static PARTNER: Words = words("상대 이름", "Partner’s name");
pub static FACE: Words = words("얼굴", "Face");
pub static COLOR: Words = words("색", "Colour");
pub static ANIMAL: Words = words("동물", "Animal");
pub static CUT: Words = words("연결이 끊기는 순간", "Lost connection");
pub static BEFORE: Words = words("몇 번째 메시지 뒤에", "After how many messages");
pub static CUT_YOU: Words = words("내 화면에 보이는 말", "On your own screen");
pub static CUT_THEY: Words = words("상대 화면에 보이는 말", "On the other screen");
pub static MESSAGES: Words = words("메시지", "Messages");
pub static MESSAGE: Words = words("메시지", "Message");
pub static FROM: Words = words("보낸 사람", "From");
pub static AT: Words = words("시각", "Time");
pub static CAN: Words = words("하는 일", "What we do");
pub static CANNOT: Words = words("할 수 없는 일", "What we can’t do");
pub static PROMISE: Words = words("약속", "Promise");
pub static HELP: Words = words("급할 때", "If it’s urgent");
pub static HOW_LONG: Words = words("얼마나", "How long");
pub static LABEL: Words = words("이름 앞에 붙는 말", "Label of the name");
pub static UNNAMED: Words = words("이름이 없을 때", "Without a name");
pub static UNNAMED_HELP: Words = words("{host}는 사이트 주소로 바뀌어요.", "{host} becomes the site’s address.");
pub static HOST_LABEL: Words = words("사이트 앞에 붙는 말", "Label of the site");
pub static QUESTION_LIST: Words = words("질문", "Questions");
pub static QUESTION: Words = words("질문", "Question");
pub static ANSWER: Words = words("답", "Answer");
pub static SIDE: Words = words("단추 옆 글", "Beside the button");
pub static GIVEN: Words = words("연락처 앞에 붙는 말", "Before the address");
pub static MISSING: Words = words("연락처가 없을 때", "Without an address");

// What can be chosen.

pub static NONE: Words = words("없음", "None");
pub static ART_CHOOSE: Words = words("고르기", "Choosing");
pub static ART_MEET: Words = words("만나기", "Meeting");
pub static ART_TALK: Words = words("이야기하기", "Talking");
pub static FROM_YOU: Words = words("나", "You");
pub static FROM_THEY: Words = words("상대", "The other person");
pub static ICON_FLAG: Words = words("깃발", "Flag");
pub static ICON_ARCHIVE: Words = words("보관함", "Archive");
pub static ICON_FADING: Words = words("사라지는 글", "Fading text");
pub static ICON_BLOCK: Words = words("막기", "Block");
pub static ICON_ADULT: Words = words("만 18세", "18 and over");
pub static ICON_CAMERA: Words = words("카메라", "Camera");
pub static ICON_QUESTION: Words = words("물음표", "Question mark");
pub static ICON_RETURN: Words = words("돌아오기", "Return");
pub static ICON_LOCK: Words = words("자물쇠", "Lock");
pub static STAT_ONLINE: Words = words("지금 있는 사람", "People here now");
pub static STAT_TALKS: Words = words("오늘 시작한 대화", "Chats today");
pub static STAT_MESSAGES: Words = words("오늘 보낸 메시지", "Messages today");
pub static STAT_WAIT: Words = words("보통 기다리는 시간", "Usual wait");
pub static STAT_ROOMS: Words = words("열린 방", "Open rooms");
pub static STAT_LANGUAGES: Words = words("언어", "Languages");
pub static CHART_TALKS: Words = words("하루 대화 수", "Chats a day");
pub static CHART_HOURS: Words = words("붐비는 시간", "Busy hours");
pub static CHART_LANGUAGES: Words = words("언어", "Languages");
