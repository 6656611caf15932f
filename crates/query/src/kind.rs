//! What kind of thing a question asks for, and whether a sentence has one.
//!
//! "How many days", "多少钱" and "who" want a duration, an amount of money and a person; a sentence without one is
//! seldom the answer, however many of the question's words it has. The rules know units and question words of English
//! and Chinese.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};

/// A number as digits or as a word.
const NUMBER: &str = r"(?:\d[\d,.]*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fourteen|fifteen|twenty|thirty|half|double|once|twice)\b|[一二三四五六七八九十两百千万半]+)";

/// A kind of thing that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An amount of money.
    Money,
    /// A length of time.
    Duration,
    /// A date, a weekday, a quarter.
    Date,
    /// A time of day.
    Time,
    /// A share.
    Percent,
    /// A weight.
    Weight,
    /// A length or distance.
    Length,
    /// A temperature.
    Temperature,
    /// A person, or who holds a post.
    Person,
    /// A phone number, an extension, an address.
    Contact,
    /// Any number.
    Count,
}

struct Rule {
    kind: Kind,
    asked: Regex,
    found: Regex,
}

#[allow(clippy::expect_used, reason = "the patterns are constants, and a test compiles them all")]
fn pattern(text: &str, any_case: bool) -> Regex {
    RegexBuilder::new(text).case_insensitive(any_case).build().expect("a pattern of this file")
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rule = |kind, asked: &str, found: &str| {
        // Names are told by their capitals.
        let any_case = !matches!(kind, Kind::Person | Kind::Date);
        Rule { kind, asked: pattern(asked, true), found: pattern(found, any_case) }
    };
    vec![
        rule(
            Kind::Money,
            r"\bprices?\b|\bcosts?\b|\bfees?\b|per diem|salary|stipend|how much (?:does|do|is|are|will|would|did|can|may|money)|多少钱|价格|单价|多少元|工资|月薪|金额|报多少|补多少",
            r"(?:EUR|USD|GBP|CNY|RMB|€|\$|£|¥)\s*\d|\d[\d,.]*\s*万?(?:元|EUR|USD|GBP|CNY|euros?|dollars?|pounds?|yuan)|free of charge|at no cost|免费|不收费",
        ),
        rule(
            Kind::Duration,
            r"how long|how soon|how fast|how quickly|how early|within how|how many (?:working |business )?(?:days|hours|weeks|months|years|minutes)|notice period|probation|deadline|warranty|battery life|lead time|多久|多长|几天|几个月|几年|多少天|几小时|多少小时|几个小时|几分钟|时长|寿命|保修期|试用期|交货期|几个工作日|多少个月",
            &format!(
                r"{NUMBER}[\s-]*(?:(?:working|business|calendar|full|consecutive|more|further)\s+)?(?:minutes?|hours?|days?|weeks?|months?|years?|seconds?|quarters?|个?(?:工作日|月|小时|季度|星期|周)|分钟|天|年|周|秒|日)|\bindefinitely\b"
            ),
        ),
        rule(
            Kind::Date,
            r"\bwhen\b|what date|which date|what day|which day|which month|what year|which year|weekday|什么时候|何时|哪天|哪年|几月|几号|日期|哪一天",
            r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)\b|\d{4}-\d\d-\d\d|\b(?:19|20)\d\d\b|\d+\s*[月日年号]|[周期][一二三四五六日天]|\bQ[1-4]\b|每[月周年]|季度|\bfirst\b|\blast\b|\b(?:day|week|month|quarter)\b",
        ),
        rule(
            Kind::Time,
            r"what time|when does .*(?:open|close|start|begin|end)|opening hours|core hours|几点|核心时间|工作时间",
            r"\b\d{1,2}[:：]\d\d|\d+\s*(?:a\.?m\b|p\.?m\b|o'clock|点|时)|noon|midnight|早上|晚上|凌晨",
        ),
        rule(
            Kind::Percent,
            r"what percentage|what share|which share|how many percent|what percent|\brate\b|discount|百分之几|比例|折扣|几成|百分比|几个点",
            r"\d[\d.,]*\s*(?:%|percent|per cent|‰)|百分之",
        ),
        rule(
            Kind::Weight,
            r"weigh|多重|重量",
            r"\d[\d.,]*\s*(?:(?:g|kg|t|grams?|kilograms?)\b|克|千克|公斤|吨)",
        ),
        rule(
            Kind::Length,
            r"how (?:far|deep|high|tall|wide|thick)|distance|\brange\b|diameter|多高|多远|多深|距离|直径|多厚|毫米",
            r"\d[\d.,]*\s*(?:(?:mm|cm|m|km|metres?|meters?|kilometres?|millimetres?|centimetres?|inch(?:es)?|feet)\b|米|毫米|厘米|公里)",
        ),
        rule(
            Kind::Temperature,
            r"temperature|how (?:hot|cold|warm)|温度|多少度|几度",
            r"\d\s*(?:°|℃|度|degrees?)",
        ),
        rule(
            Kind::Person,
            r"\bwho\b|\bwhom\b|whose|which person|谁|哪位|哪个人|负责人",
            r"\b[A-Z][a-zà-ÿ]+\s+(?:van\s+|de\s+)?[A-ZÅÄÖØ][a-zà-ÿA-Z]+|\b(?:manager|head|director|team|officer|CFO|CEO|COO)\b|总监|经理|主管|负责|专员|部|人",
        ),
        rule(
            Kind::Contact,
            r"phone|extension|number (?:to|do i) call|hotline|e-?mail address|电话|分机|邮箱|热线|打哪个",
            r"\+?\d[\d\s-]{6,}|\S+@\S+|\b\d{4}\b",
        ),
    ]
});

static COUNTED: LazyLock<Rule> = LazyLock::new(|| Rule {
    kind: Kind::Count,
    asked: pattern(
        r"how many|how much|how often|how big|how large|maximum|minimum|\bmax\b|\bmin\b|limit|largest|smallest|最多|最少|多少|几|上限|多大|多高",
        true,
    ),
    found: pattern(NUMBER, true),
});

static ENGLISH_NOUN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"how many (?:(?:working|business|more|new|different) )?([a-z-]+)", true));
static CHINESE_NOUN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:几|多少)个?([\u{4e00}-\u{9fff}])", true));

/// What a question wants.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    kinds: Vec<Kind>,
    counted: Option<Regex>,
}

/// How a sentence meets what is [`Wanted`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Meets {
    /// Something is wanted, and the sentence has it: 1, else 0.
    pub kind: f32,
    /// Something is wanted, and the sentence has none: 1, else 0.
    pub no_kind: f32,
    /// The thing to be counted has a number before it: 1; it has none: -1; nothing is to be counted: 0.
    pub noun: f32,
    /// Something is wanted, and the sentence has a number: 1, else 0.
    pub number: f32,
}

impl Wanted {
    /// Reads the question.
    pub fn of(question: &str) -> Self {
        let mut kinds: Vec<Kind> =
            RULES.iter().filter(|r| r.asked.is_match(question)).map(|r| r.kind).collect();
        if kinds.is_empty() && COUNTED.asked.is_match(question) {
            kinds.push(COUNTED.kind);
        }
        let noun = ENGLISH_NOUN
            .captures(question)
            .and_then(|c| c.get(1))
            .map(|m| {
                // Without its last letter: one thing as well as many.
                let noun = m.as_str();
                noun.get(..noun.len().saturating_sub(1)).filter(|n| n.len() >= 3).unwrap_or(noun).to_owned()
            })
            .or_else(|| {
                CHINESE_NOUN.captures(question).and_then(|c| c.get(1)).map(|m| m.as_str().to_owned())
            });
        let counted = noun.map(|noun| {
            pattern(&format!(r"{NUMBER}\s*个?(?:[\w-]+\s+){{0,2}}{}", regex::escape(&noun)), true)
        });
        Self { kinds, counted }
    }

    /// Looks at a sentence.
    pub fn meets(&self, sentence: &str) -> Meets {
        let wanted = !self.kinds.is_empty();
        let has = |kind: &Kind| {
            RULES
                .iter()
                .chain([&*COUNTED])
                .filter(|r| r.kind == *kind)
                .any(|rule| rule.found.is_match(sentence))
        };
        let found = self.kinds.iter().any(has);
        let flag = |yes: bool| f32::from(u8::from(yes));
        Meets {
            kind: flag(wanted && found),
            no_kind: flag(wanted && !found),
            noun: self.counted.as_ref().map_or(0.0, |c| if c.is_match(sentence) { 1.0 } else { -1.0 }),
            number: flag(wanted && COUNTED.found.is_match(sentence)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(question: &str, sentence: &str) -> Meets {
        Wanted::of(question).meets(sentence)
    }

    #[test]
    fn a_duration_is_not_an_amount() {
        let question = "How many days of vacation does a new employee get?";
        assert_eq!(meets(question, "New employees get 30 days.").kind, 1.0);
        assert_eq!(meets(question, "New employees get EUR 30.").no_kind, 1.0);
        assert_eq!(meets("How much does the K110 cost?", "It costs EUR 189.").kind, 1.0);
        assert_eq!(meets("How much does the K110 cost?", "It weighs 92 g.").kind, 0.0);
    }

    #[test]
    fn chinese_questions_name_their_unit() {
        let found = meets("上海员工有几天年假？", "上海全职员工每年享有 12 天年假。");
        assert_eq!((found.kind, found.noun), (1.0, 1.0));
        assert_eq!(meets("上海员工有几天年假？", "工资按 80% 发放。").noun, -1.0);
        assert_eq!(meets("标准版多少钱？", "标准版每月28元。").kind, 1.0);
    }

    #[test]
    fn people_have_names_or_posts() {
        let question = "Who approves a donation?";
        assert_eq!(meets(question, "Donations need the approval of the CFO.").kind, 1.0);
        assert_eq!(meets(question, "it is Henrike Solberg.").kind, 1.0);
        assert_eq!(meets(question, "donations are rare.").no_kind, 1.0);
    }

    #[test]
    fn a_question_for_nothing_measurable_wants_nothing() {
        assert_eq!(meets("Why was the sensor replaced?", "It broke in 2024."), Meets::default());
    }
}
