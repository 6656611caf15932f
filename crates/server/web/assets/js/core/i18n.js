// Words, numbers and dates in the page's language (<html data-lang>, en or zh).
//
//   await load("ask")           words of an area, from i18n/{lang}/ask.js; "core" always comes with it
//   t("ask.send", {name})       the words of a key, {name} filled in; a missing key shows as itself     has(key)
//   plural("ask.sources", n)    key "ask.sources.one" or "ask.sources.other", {n} is the number
//   number(n, options?)         date(value, options?)  dateTime(value)  time(value)  ago(value)
//   duration(seconds)           bytes(n)  percent(0…1)  languageName("de")  day("2026-01-31")
//   modelName(name)             the model that writes, or that there is none
//   lang                        "en" or "zh"
//
// Word files are `export default { "area.key": "words {name}", … };` where the object is strict JSON (double quotes, no
// comments, no comma at the end): the server reads them too, for its templates.

const root = document.documentElement;

/** The page's language. */
export const lang = root.dataset.lang === "zh" ? "zh" : "en";

const locale = lang === "zh" ? "zh-CN" : (navigator.languages ?? []).find((l) => /^en\b/i.test(l)) ?? "en";
const words = new Map();
const loaded = new Map();

/** Loads the words of areas; what is there already is not loaded again. */
export async function load(...areas) {
  await Promise.all(["core", ...areas].map((area) => {
    if (!loaded.has(area)) loaded.set(area, fetchArea(area));
    return loaded.get(area);
  }));
}

async function fetchArea(area) {
  const module = await import(`../../i18n/${lang}/${area}.js`);
  for (const [key, text] of Object.entries(module.default)) words.set(key, text);
}

/** Whether a key has words. */
export const has = (key) => words.has(key);

/** The words of a key with `{name}` filled in from `vars`. */
export function t(key, vars = {}) {
  const text = words.get(key) ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in vars ? String(vars[name]) : whole));
}

const rules = new Intl.PluralRules(locale);

/** The words of `key.one` or `key.other` for the number `n`, which is `{n}`. */
export function plural(key, n, vars = {}) {
  const form = `${key}.${rules.select(n)}`;
  return t(words.has(form) ? form : `${key}.other`, { n: number(n), ...vars });
}

const formats = new Map();
function format(Kind, options) {
  const id = `${Kind.name}${JSON.stringify(options)}`;
  if (!formats.has(id)) formats.set(id, new Kind(locale, options));
  return formats.get(id);
}

const at = (value) => (value instanceof Date ? value : new Date(value));

/** A number as people of the language write it. */
export const number = (n, options = { maximumFractionDigits: 2 }) => format(Intl.NumberFormat, options).format(n);

/** A share of one as per cent. */
export const percent = (share, digits = 0) => number(share, { style: "percent", maximumFractionDigits: digits });

/** A day. */
export const date = (value, options = { dateStyle: "medium" }) => format(Intl.DateTimeFormat, options).format(at(value));

/** A day with its time. */
export const dateTime = (value) => date(value, { dateStyle: "medium", timeStyle: "short" });

/** A time of day. */
export const time = (value) => date(value, { timeStyle: "short" });

/** A day without a time, such as 2026-01-31: the same day wherever one is. */
export const day = (text) => date(`${text}T12:00:00`);

/** The model that writes, in words; `extractive` is the API's word for none. */
export const modelName = (name) => (name === "extractive" ? t("core.model.none") : name);

/** The name of a language; its code where that is none that the browser knows. */
export function languageName(code) {
  try {
    return format(Intl.DisplayNames, { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}

const STEPS = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];

/** How long ago a time is, or in how long it comes. */
export function ago(value) {
  const seconds = (at(value) - Date.now()) / 1000;
  const words = format(Intl.RelativeTimeFormat, { numeric: "auto" });
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return words.format(Math.trunc(seconds / size), unit);
  }
  return words.format(0, "second");
}

/** English signs of units, which stand behind a space; browsers have "41ms" or "41 ms", but "4.2s" or "4.2 sec". */
const SIGNS = { millisecond: "ms", second: "s", minute: "min", hour: "h", day: "d" };

const unit = (n, name, digits) => (lang === "en"
  ? `${number(n, { maximumFractionDigits: digits })}\u00a0${SIGNS[name]}`
  : number(n, { style: "unit", unit: name, unitDisplay: "narrow", maximumFractionDigits: digits }));

/** A span of time: 320 ms, 4.2 s, 3 min 5 s, 2 h 10 min, 3 d 4 h. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return unit(Math.round(seconds * 1000), "millisecond", 0);
  if (seconds < 60) return unit(seconds, "second", seconds < 10 ? 1 : 0);
  const whole = Math.round(seconds);
  const pair = (size, name, small, smaller) => {
    const rest = Math.floor((whole % size) / small);
    return unit(Math.floor(whole / size), name, 0) + (rest ? ` ${unit(rest, smaller, 0)}` : "");
  };
  if (whole < 3600) return pair(60, "minute", 1, "second");
  if (whole < 86400) return pair(3600, "hour", 60, "minute");
  return pair(86400, "day", 3600, "hour");
}

/** A size: 512 B, 4.2 MB. */
export function bytes(n) {
  const names = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (n >= 1000 && at < names.length - 1) {
    n /= 1000;
    at += 1;
  }
  return `${number(n, { maximumFractionDigits: at === 0 || n >= 100 ? 0 : 1 })} ${names[at]}`;
}
