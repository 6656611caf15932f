//! What can be asked of a sentence.

use lore_core::random::Random;

use super::shelf::Shelf;
use super::words::{Kind, Word, is_chinese, is_function, mostly_chinese, stem, words};

/// Words that say about the same, in both directions.
const ALIKE: &[(&str, &str)] = &[
    ("begin", "start"),
    ("end", "stop"),
    ("buy", "purchase"),
    ("pay", "cost"),
    ("price", "cost"),
    ("fee", "charge"),
    ("help", "support"),
    ("error", "fault"),
    ("fail", "break"),
    ("repair", "fix"),
    ("allow", "permit"),
    ("need", "require"),
    ("must", "have to"),
    ("may", "can"),
    ("forbid", "prohibit"),
    ("employee", "staff"),
    ("worker", "staff"),
    ("holiday", "vacation"),
    ("leave", "time off"),
    ("salary", "pay"),
    ("boss", "manager"),
    ("customer", "client"),
    ("supplier", "vendor"),
    ("send", "submit"),
    ("get", "receive"),
    ("give", "provide"),
    ("keep", "store"),
    ("delete", "remove"),
    ("change", "modify"),
    ("choose", "select"),
    ("use", "apply"),
    ("show", "display"),
    ("find", "locate"),
    ("check", "verify"),
    ("big", "large"),
    ("small", "little"),
    ("fast", "quick"),
    ("near", "close"),
    ("old", "former"),
    ("new", "recent"),
    ("annual", "yearly"),
    ("daily", "each day"),
    ("per year", "a year"),
    ("maximum", "most"),
    ("minimum", "least"),
    ("limit", "maximum"),
    ("deadline", "due date"),
    ("document", "file"),
    ("picture", "image"),
    ("car", "vehicle"),
    ("house", "building"),
    ("job", "position"),
    ("company", "firm"),
    ("office", "workplace"),
    ("meeting", "session"),
    ("trip", "travel"),
    ("doctor", "physician"),
    ("medicine", "drug"),
    ("child", "kid"),
    ("person", "individual"),
    ("country", "nation"),
    ("war", "conflict"),
    ("king", "ruler"),
    ("build", "construct"),
    ("found", "establish"),
    ("create", "make"),
    ("win", "gain"),
    ("lose", "miss"),
    ("die", "pass away"),
    ("live", "reside"),
    ("work", "operate"),
    ("install", "set up"),
    ("start", "launch"),
    ("restart", "reboot"),
    ("connect", "link"),
    ("return", "give back"),
    ("refund", "money back"),
    ("order", "request"),
    ("deliver", "ship"),
    ("warranty", "guarantee"),
    ("contract", "agreement"),
    ("rule", "policy"),
    ("report", "notify"),
    ("approve", "sign off"),
    ("responsible", "in charge"),
    ("about", "roughly"),
    ("usually", "normally"),
    ("important", "essential"),
    ("dangerous", "hazardous"),
    ("safe", "secure"),
    ("password", "passphrase"),
    ("computer", "machine"),
    ("phone", "telephone"),
    ("address", "location"),
    ("hour", "time"),
    ("weekly", "each week"),
    ("开始", "启动"),
    ("结束", "停止"),
    ("购买", "采购"),
    ("费用", "花费"),
    ("价格", "单价"),
    ("故障", "问题"),
    ("维修", "修理"),
    ("允许", "可以"),
    ("禁止", "不准"),
    ("员工", "职工"),
    ("工资", "薪水"),
    ("客户", "顾客"),
    ("供应商", "厂家"),
    ("提交", "上交"),
    ("提供", "给"),
    ("保存", "存放"),
    ("删除", "清除"),
    ("修改", "更改"),
    ("选择", "挑选"),
    ("使用", "用"),
    ("显示", "展示"),
    ("检查", "核对"),
    ("最大", "上限"),
    ("最小", "下限"),
    ("期限", "截止时间"),
    ("文件", "材料"),
    ("公司", "企业"),
    ("会议", "开会"),
    ("出差", "外出"),
    ("安装", "装"),
    ("连接", "接"),
    ("退货", "退"),
    ("订单", "单子"),
    ("发货", "寄出"),
    ("合同", "协议"),
    ("规定", "规则"),
    ("负责", "管"),
    ("通常", "一般"),
    ("重要", "关键"),
    ("危险", "有风险"),
    ("安全", "保险"),
    ("密码", "口令"),
    ("电话", "手机"),
    ("地址", "地点"),
    ("申请", "提出"),
    ("批准", "同意"),
    ("时间", "时候"),
    ("人员", "人"),
];

/// Verbs that a question can begin with.
const TURNED: [&str; 14] = [
    "is", "are", "was", "were", "can", "must", "may", "has", "have", "will", "should", "could", "would",
    "does",
];

/// Words that ask for a kind of answer, without one.
const OPENINGS: [&str; 8] =
    ["what about", "tell me about", "any rule on", "details on", "info:", "explain", "", ""];

/// A question and its answer.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub question: String,
    /// Sentences that answer, each perhaps with the words that do.
    pub answers: Vec<(usize, Option<String>)>,
}

/// A question that the sentence `target` answers, sometimes together with a neighbour.
pub(super) fn about(shelf: &Shelf, target: usize, random: &mut Random) -> Option<Asked> {
    let (question, words) = one(shelf, target, random)?;
    let mut answers = vec![(target, words)];
    if random.unit() < 0.1
        && let Some(other) = shelf.neighbour(target, random)
        && let Some((second, words)) = one(shelf, other, random)
    {
        let joined = if mostly_chinese(&question) {
            format!("{}？{second}", question.trim_end_matches('？'))
        } else {
            format!("{} and {second}", question.trim_end_matches('?'))
        };
        answers.push((other, words));
        return Some(Asked { question: joined, answers });
    }
    Some(Asked { question, answers })
}

/// A question near that one which no sentence answers: it asks for something definite that is not there, or for a kind of
/// thing that the sentence does not tell.
pub(super) fn beside(shelf: &Shelf, target: usize, asked: &Asked, random: &mut Random) -> Option<String> {
    let text = &asked.question;
    let found = words(text);
    let definite: Vec<&Word> = found
        .iter()
        .filter(|word| {
            let word_text = &text[word.at.clone()];
            !is_function(word_text) && (word.kind != Kind::Plain || word_text.len() > 3)
        })
        .collect();
    let rarity = |word: &Word| shelf.weight(&stem(&text[word.at.clone()].to_lowercase()));
    // The more a word tells, the likelier it is another one.
    let mut order: Vec<&Word> = definite;
    order.sort_by(|a, b| rarity(b).total_cmp(&rarity(a)));
    let word = *order.get(random.below(order.len().min(3)))?;
    let old = &text[word.at.clone()];
    let new = match word.kind {
        Kind::Number => other_number(old, random),
        _ => (0..40).find_map(|_| {
            let source = shelf.source(shelf.draw(random, 400)?);
            let others = words(&source.text);
            let other = others.get(random.below(others.len()))?;
            let new = &source.text[other.at.clone()];
            let known = stem(&new.to_lowercase());
            (other.kind == word.kind && !is_function(new) && new.len() > 2 && !shelf.has(target, &known))
                .then(|| new.to_owned())
        })?,
    };
    (new != old).then(|| format!("{}{new}{}", &text[..word.at.start], &text[word.at.end..]))
}

fn one(shelf: &Shelf, target: usize, random: &mut Random) -> Option<(String, Option<String>)> {
    let source = shelf.source(target);
    let text = source.text.trim().trim_start_matches(['-', '*', '#', ' ']);
    let chinese = mostly_chinese(text);
    let (mut question, words) = match random.below(5) {
        0 | 1 => without_answer(text, chinese, random).or_else(|| keywords(shelf, text, chinese, random))?,
        2 if !chinese => turned(text).or_else(|| keywords(shelf, text, chinese, random))?,
        2 => defined(text).or_else(|| keywords(shelf, text, chinese, random))?,
        _ => keywords(shelf, text, chinese, random)?,
    };
    // Some things are told by the heading alone.
    if random.unit() < 0.25 && !source.heading.is_empty() && source.heading.chars().count() < 40 {
        question = if chinese {
            format!("{}，{question}", source.heading)
        } else if random.unit() < 0.5 {
            format!("{}: {question}", source.heading)
        } else {
            format!("{} ({})", question.trim_end_matches('?'), source.heading)
        };
    }
    let share = random.unit() * 0.7;
    let question = reworded(&question, share, random);
    (question.chars().count() >= 4).then_some((question, words))
}

/// The words that tell most, perhaps in another order.
fn keywords(
    shelf: &Shelf,
    text: &str,
    chinese: bool,
    random: &mut Random,
) -> Option<(String, Option<String>)> {
    let mut told: Vec<(f32, &str)> = words(text)
        .into_iter()
        .map(|word| &text[word.at])
        .filter(|word| !is_function(word) && (!chinese || word.chars().count() > 1))
        .map(|word| (shelf.weight(&stem(&word.to_lowercase())) * (0.5 + random.unit() as f32), word))
        .collect();
    told.sort_by(|a, b| b.0.total_cmp(&a.0));
    told.dedup_by(|a, b| a.1 == b.1);
    told.truncate(2 + random.below(3));
    if told.len() < 2 {
        return None;
    }
    if random.unit() < 0.6 {
        told.sort_by_key(|(_, word)| text.find(word));
    }
    let told: Vec<&str> = told.into_iter().map(|(_, word)| word).collect();
    if chinese {
        let joint = ["", "的", " ", "，"][random.below(4)];
        let ends = ["？", "是什么？", "怎么规定的？", "", "吗？", "是多少？"];
        return Some((format!("{}{}", told.join(joint), ends[random.below(ends.len())]), None));
    }
    let opening = OPENINGS[random.below(OPENINGS.len())];
    let end = if random.unit() < 0.6 { "?" } else { "" };
    Some((format!("{opening} {}{end}", told.join(" ")).trim().to_owned(), None))
}

/// The sentence with a question word in the place of a number, a date or a name.
fn without_answer(text: &str, chinese: bool, random: &mut Random) -> Option<(String, Option<String>)> {
    let found = words(text);
    let spans: Vec<(usize, usize)> = found
        .iter()
        .enumerate()
        .filter(|(at, word)| match word.kind {
            Kind::Number => true,
            Kind::Capital => *at > 0,
            _ => false,
        })
        .map(|(at, word)| {
            let mut last = at;
            while word.kind == Kind::Capital
                && found
                    .get(last + 1)
                    .is_some_and(|next| next.kind == Kind::Capital && next.at.start == found[last].at.end + 1)
            {
                last += 1;
            }
            (at, last)
        })
        .collect();
    let (first, last) = *spans.get(random.below(spans.len()))?;
    let (start, end) = (found[first].at.start, found[last].at.end);
    let answer = &text[start..end];
    let clause = clause(text, start, end);
    let (before, behind) = (&text[clause.0..start], &text[end..clause.1]);
    if chinese {
        let asks =
            if found[first].kind == Kind::Number { ["多少", "几"][random.below(2)] } else { "什么" };
        let question = format!("{}{asks}{}？", thinned(before, 0.1, random), thinned(behind, 0.1, random));
        return Some((question, Some(answer.to_owned())));
    }
    let year = answer.len() == 4 && (answer.starts_with("19") || answer.starts_with("20"));
    let unit: String = behind.trim_start().chars().take_while(|char| char.is_alphabetic()).collect();
    let (asks, behind) = match found[first].kind {
        Kind::Number if year => (["when", "in which year"][random.below(2)].to_owned(), behind),
        Kind::Number if unit.len() > 2 && !is_function(&unit) => {
            let at = behind.find(&unit).map_or(0, |at| at + unit.len());
            (format!("how {} {unit}", ["many", "much"][random.below(2)]), &behind[at..])
        }
        Kind::Number => (["how much", "how many", "what number", "when"][random.below(4)].to_owned(), behind),
        _ => (["who", "which", "what", "where"][random.below(4)].to_owned(), behind),
    };
    let rest = format!("{} {}", thinned(before, 0.25, random), thinned(behind, 0.25, random));
    let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
    let question = if random.unit() < 0.7 { format!("{asks} {rest}") } else { format!("{rest} {asks}") };
    Some((format!("{}?", question.trim_end_matches(['.', ',', ';', ':', '?', '!'])), Some(answer.to_owned())))
}

/// "The range is 80 m" as "Is the range 80 m?".
fn turned(text: &str) -> Option<(String, Option<String>)> {
    let clause = clause(text, 0, 0);
    let text = &text[clause.0..clause.1];
    let verb = words(text)
        .into_iter()
        .skip(1)
        .take(8)
        .find(|word| TURNED.contains(&text[word.at.clone()].to_lowercase().as_str()))?;
    let (subject, rest) = (text[..verb.at.start].trim(), text[verb.at.end..].trim());
    if subject.is_empty() || rest.is_empty() || subject.contains(['.', ';', '|']) {
        return None;
    }
    let mut subject: String = subject.to_owned();
    if let Some(first) =
        subject.chars().next().filter(|_| subject.starts_with("The ") || subject.starts_with("A "))
    {
        subject = format!("{}{}", first.to_lowercase(), &subject[first.len_utf8()..]);
    }
    let verb = &text[verb.at];
    Some((format!("{verb} {subject} {}?", rest.trim_end_matches(['.', ';', ',', ':', '!'])), None))
}

/// "X是Y" as "X是什么？".
fn defined(text: &str) -> Option<(String, Option<String>)> {
    let verbs = ["是", "为", "可以", "应", "须", "包括", "由", "在"];
    let (at, verb) =
        verbs.iter().filter_map(|verb| Some((text.find(verb)?, *verb))).min_by_key(|(at, _)| *at)?;
    let start = text[..at]
        .rfind(['，', '。', '；', '：', ','])
        .map_or(0, |before| before + text[before..].chars().next().map_or(1, char::len_utf8));
    let subject = text[start..at].trim();
    let count = subject.chars().count();
    let asks = match verb {
        "在" => "在哪里？",
        "由" => "由谁负责？",
        "可以" | "应" | "须" => "有什么要求？",
        "包括" => "包括哪些？",
        _ => "是什么？",
    };
    (2..=20).contains(&count).then(|| (format!("{subject}{asks}"), None))
}

/// The part of a sentence, between its stops, that holds these bytes.
fn clause(text: &str, start: usize, end: usize) -> (usize, usize) {
    let stops = ['.', ';', '。', '；', '|', '，'];
    let is_stop = |at: usize, char: char| {
        stops.contains(&char)
            && (char != '.' || text[at + 1..].chars().next().is_none_or(char::is_whitespace))
    };
    let from = text[..start]
        .char_indices()
        .rev()
        .find(|(at, char)| is_stop(*at, *char))
        .map_or(0, |(at, char)| at + char.len_utf8());
    let to = text[end..]
        .char_indices()
        .find(|(at, char)| is_stop(end + at, *char))
        .map_or(text.len(), |(at, _)| end + at);
    (from, to)
}

/// `text` without some of its words.
fn thinned(text: &str, share: f64, random: &mut Random) -> String {
    if text.chars().any(is_chinese) {
        return text.trim_matches(['，', '：', ' ', '、']).to_owned();
    }
    let kept = text.split_whitespace().filter(|_| random.unit() >= share);
    kept.map(|word| word.trim_matches(['(', ')', '"', ',', ':'])).collect::<Vec<_>>().join(" ")
}

/// `text` with others in the place of some words, and in lower case sometimes.
fn reworded(text: &str, share: f64, random: &mut Random) -> String {
    let mut out = text.to_owned();
    for (one, other) in ALIKE {
        for (from, to) in [(one, other), (other, one)] {
            if random.unit() < share
                && let Some(at) = out.find(from)
            {
                let ascii = from.is_ascii();
                let starts =
                    !ascii || out[..at].chars().next_back().is_none_or(|char| !char.is_alphanumeric());
                let end = at + from.len();
                let ends = !ascii || out[end..].chars().next().is_none_or(|char| !char.is_alphanumeric());
                if starts && ends {
                    out.replace_range(at..end, to);
                    break;
                }
            }
        }
    }
    match random.below(4) {
        0 => out.to_lowercase(),
        _ => {
            let first = out.chars().next();
            first.map_or_else(String::new, |first| {
                format!("{}{}", first.to_uppercase(), &out[first.len_utf8()..])
            })
        }
    }
}

/// Another number of the same form.
pub(super) fn other_number(old: &str, random: &mut Random) -> String {
    let mut first = true;
    old.chars()
        .map(|char| match char.is_ascii_digit() {
            false => char,
            true => {
                let low = u32::from(std::mem::take(&mut first));
                char::from_digit(low + random.below(10 - low as usize) as u32, 10).unwrap_or(char)
            }
        })
        .collect()
}
