// The YAML of a configuration: keys at the left edge, with scalars, lists, or one level of maps. It is never written anew:
// a key is changed where it stands, so that comments, order and keys that nobody knows stay as they are.
//
//   values(text) -> object of the values: null, true, 2, "a", [..], {..}, or Raw
//   set(text, key, value, near?) -> text   null takes the key away; a new key stands after the last of `near`
//   write(value) -> text of a value        same(a, b)

const KEY = /^([A-Za-z_][\w-]*)\s*:(?=\s|$)(.*)$/;

/** A value that is kept as it stands, such as a text over several lines. */
export class Raw {
  constructor(text) {
    this.text = text;
  }
}

/** The keys of a text: {value, start, end}, lines [start, end). */
function read(text) {
  const lines = text.split("\n");
  const found = new Map();
  for (let at = 0; at < lines.length; at += 1) {
    const match = KEY.exec(lines[at]);
    if (!match) continue;
    let end = at + 1;
    const inline = bare(match[2]);
    if (/^[[{]/.test(inline)) {
      let whole = inline;
      while (open(whole) && end < lines.length && !KEY.test(lines[end])) whole += ` ${bare(lines[end++])}`;
      found.set(match[1], { value: flow(whole), start: at, end });
    } else {
      while (end < lines.length && /^(\s+\S|-\s|-$|\s*$)/.test(lines[end])) end += 1;
      // Empty lines, and comments before the next key, belong to nobody.
      while (end > at + 1 && /^\s*(#.*)?$/.test(lines[end - 1])) end -= 1;
      const below = lines.slice(at + 1, end);
      found.set(match[1], { value: inline && below.length === 0 ? scalar(inline) : block(inline, below), start: at, end });
    }
    at = end - 1;
  }
  return found;
}

/** The values of a text by key. */
export const values = (text) => Object.fromEntries([...read(text)].map(([key, entry]) => [key, entry.value]));

/** The text with `key` set to `value`. */
export function set(text, key, value, near = []) {
  const found = read(text);
  const lines = text.split("\n");
  const entry = found.get(key);
  if (entry && value === null) {
    lines.splice(entry.start, entry.end - entry.start);
    return lines.join("\n");
  }
  if (value === null) return text;
  const line = `${key}: ${write(value)}`;
  if (entry) {
    const hash = entry.end === entry.start + 1 ? strip(lines[entry.start]).search(/\s+#/) : -1;
    const comment = hash < 0 ? "" : lines[entry.start].slice(hash);
    lines.splice(entry.start, entry.end - entry.start, line + comment);
    return lines.join("\n");
  }
  const after = near.map((name) => found.get(name)?.end ?? -1).reduce((a, b) => Math.max(a, b), -1);
  if (after >= 0) {
    lines.splice(after, 0, line);
    return lines.join("\n");
  }
  const body = text.replace(/\s+$/, "");
  return `${body}${body ? "\n" : ""}${line}\n`;
}

/** A value as YAML on one line. */
export function write(value) {
  if (value instanceof Raw) return value.text;
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return `[${value.map(inList).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([k, v]) => `${inList(k)}: ${inList(v)}`).join(", ")}}`;
  if (typeof value === "number") return digits(value);
  return typeof value === "string" ? word(value) : String(value);
}

/** Whether two values are the same. */
export const same = (a, b) => write(a ?? null) === write(b ?? null);

const inList = (value) => (typeof value === "string" && /[,[\]{}]/.test(value) ? JSON.stringify(value) : write(value));

function digits(number) {
  const text = String(number);
  // YAML 1.1 takes 1e-7 for a word.
  return /^-?\d+e/.test(text) ? text.replace("e", ".0e") : text;
}

/** What YAML takes for a number and this does not. */
const NUMBER = /^[-+]?(\d[\d_]*|0[xob][\da-f_]+|\.(inf|nan))$/i;

function word(text) {
  const plain = /^[\w./~][\w./@ +()-]*$/u.test(text) && !/\s$|\s#|:\s/.test(text);
  return plain && scalar(text) === text && !NUMBER.test(text) ? text : JSON.stringify(text);
}

/** A line's value without its comment. */
function bare(text) {
  let quote = null;
  for (let at = 0; at < text.length; at += 1) {
    const c = text[at];
    if (quote) {
      if (c === "\\" && quote === '"') at += 1;
      else if (c === quote && quote === "'" && text[at + 1] === "'") at += 1;
      else if (c === quote) quote = null;
    } else if ((c === '"' || c === "'") && /^[\s,[{:]*$/.test(text.slice(Math.max(0, at - 1), at))) quote = c;
    else if (c === "#" && (at === 0 || /\s/.test(text[at - 1]))) return text.slice(0, at).trim();
  }
  return text.trim();
}

/** A line with what is quoted blotted out, so that a # in it is no comment; a quote in the midst of a word is none. */
const strip = (line) => line.replace(/(?<=^|[\s,[{:])(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')/g, (text) => "x".repeat(text.length));

/** Whether brackets are still open. */
function open(text) {
  const plain = strip(text);
  const count = (chars) => [...plain].filter((c) => chars.includes(c)).length;
  return count("[{") > count("]}");
}

/** What a plain or quoted word means. */
function scalar(text) {
  if (/^(|~|null|Null|NULL)$/.test(text)) return null;
  // The words of YAML 1.1, as the trainer reads them.
  if (/^(true|yes|on|y)$/i.test(text)) return true;
  if (/^(false|no|off|n)$/i.test(text)) return false;
  if (/^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$/.test(text)) return Number(text);
  if (/^".*"$/s.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      return text.slice(1, -1);
    }
  }
  if (/^'.*'$/s.test(text)) return text.slice(1, -1).replaceAll("''", "'");
  return text;
}

/** A list or map in brackets. */
function flow(text) {
  const inner = text.slice(1, /[\]}]$/.test(text) ? -1 : undefined);
  const items = split(inner);
  if (text[0] === "[") return items.map((item) => (/^[[{]/.test(item) ? flow(item) : scalar(item)));
  return Object.fromEntries(items.map((item) => {
    const colon = strip(item).search(/^["']/.test(item) ? /:/ : /:(?=\s|$)/);
    const [key, value] = colon < 0 ? [item, ""] : [item.slice(0, colon), item.slice(colon + 1).trim()];
    return [scalar(key.trim()), /^[[{]/.test(value) ? flow(value) : scalar(value)];
  }));
}

/** Items between commas that stand in no brackets and quotes. */
function split(text) {
  const items = [];
  let depth = 0;
  let last = 0;
  const plain = strip(text);
  for (let at = 0; at < plain.length; at += 1) {
    if ("[{".includes(plain[at])) depth += 1;
    else if ("]}".includes(plain[at])) depth -= 1;
    else if (plain[at] === "," && depth === 0) {
      items.push(text.slice(last, at));
      last = at + 1;
    }
  }
  items.push(text.slice(last));
  return items.map((item) => item.trim()).filter(Boolean);
}

/** What stands below a key: items, pairs, or a text that is kept as it is. */
function block(inline, below) {
  const lines = below.map((line) => [line, bare(line)]).filter(([, text]) => text !== "");
  if (inline === "" && lines.length === 0) return null;
  // What lies deeper, and maps in a list, are no form's matter.
  const level = new Set(lines.map(([line]) => line.search(/\S/))).size === 1;
  const item = (text) => /^-(\s+[[{]|$)/.test(text) || (/^-\s+(?!-(\s|$))/.test(text) && !/:(\s|$)/.test(strip(text)));
  if (inline === "" && level && lines.every(([, text]) => item(text))) {
    return lines.map(([, text]) => {
      const item = text.slice(1).trim();
      return /^[[{]/.test(item) ? flow(item) : scalar(item);
    });
  }
  const pairs = lines.map(([, text]) => /^([^\s:]+)\s*:\s*(.*)$/.exec(text));
  if (inline === "" && level && pairs.every(Boolean)) {
    return Object.fromEntries(pairs.map(([, key, value]) => [key, /^[[{]/.test(value) ? flow(value) : scalar(value)]));
  }
  return new Raw([inline, ...below].join("\n"));
}
