// Offsets in texts, and what an answer's statements rest on.
//
// The API counts Unicode code points, JavaScript counts UTF-16 units; CodePoints turns one into the other.
//
//   new CodePoints(text)      .unit(codePoint), .length
//   doubts(answer)            the statements without a source: {span, citation}
//   numbered(citations)       citations with the number that each source has in the answer
//   withFootnotes(answer)     an answer as Markdown with footnotes, for the clipboard

/** Code points between two remembered places. */
const STRIDE = 256;
const SURROGATE = /[\uD800-\uDFFF]/;

/** The code points of a text. */
export class CodePoints {
  constructor(text) {
    this.text = text;
    // Most texts have none beyond the first plane, where both counts are the same.
    this.places = null;
    this.length = text.length;
    if (!SURROGATE.test(text)) return;
    this.places = [];
    let count = 0;
    for (let unit = 0; unit < text.length; count += 1) {
      if (count % STRIDE === 0) this.places.push(unit);
      unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
    }
    this.length = count;
  }

  /** The UTF-16 offset of code point `at`; the text's end for what is behind it. */
  unit(at) {
    const wanted = Math.max(0, Math.min(at, this.length));
    if (this.places === null) return wanted;
    if (wanted === this.length) return this.text.length;
    let unit = this.places[Math.floor(wanted / STRIDE)];
    for (let rest = wanted % STRIDE; rest > 0; rest -= 1) unit += this.text.codePointAt(unit) > 0xffff ? 2 : 1;
    return unit;
  }
}

/** Stretches of the answer that no passage supports: {span, citation}, the citation where one came near. */
export function doubts(summary) {
  const found = (summary.unsupported ?? []).map((span) => ({ span, citation: null }));
  for (const citation of summary.citations) {
    if (citation.verdict === "supported") continue;
    const { start, end } = citation.answer_span;
    const known = found.find(({ span }) => span.start === start && span.end === end);
    if (known) known.citation ??= citation;
    else found.push({ span: citation.answer_span, citation });
  }
  // One that lies in another would only repeat it.
  const repeats = ({ span }, at) => found.some((other, place) => place !== at && contains(other.span, span, place < at));
  return found.filter((one, at) => !repeats(one, at));
}

const contains = (outer, inner, first) =>
  outer.start <= inner.start && inner.end <= outer.end && (first || outer.start < inner.start || inner.end < outer.end);

const lineStart = (text, at) => text.lastIndexOf("\n", at - 1) + 1;

/** Where a footnote's mark behind a statement stands: before white space and before the last bar of a table's row. */
function endPlace(text, unit) {
  let at = back(text, unit);
  if (text[at - 1] === "|" && /^\s*\|/.test(text.slice(lineStart(text, at), at))) at = back(text, at - 1);
  const start = lineStart(text, at);
  // A mark would undo the line of a fence, and a table's second row; the line before can take it.
  if (/^\s*(```|~~~|\|?[\s:|-]*-[\s:|-]*$)/.test(text.slice(start, at)) && start > 0) return back(text, start - 1);
  return at;
}

function back(text, unit) {
  let at = unit;
  while (at > 0 && /\s/.test(text[at - 1])) at -= 1;
  return at;
}

const sourceKey = ({ document, version, source_span: span }) => `${document}:${version}:${span.start}-${span.end}`;

/** Each supporting citation with its number: one number a source, by where it first stands in the answer. */
export function numbered(citations) {
  const numbers = new Map();
  const order = citations
    .map((citation, index) => ({ citation, index }))
    .filter(({ citation }) => citation.verdict === "supported")
    .sort((one, other) => one.citation.answer_span.end - other.citation.answer_span.end || one.index - other.index);
  for (const entry of order) {
    const key = sourceKey(entry.citation);
    if (!numbers.has(key)) numbers.set(key, numbers.size + 1);
    entry.number = numbers.get(key);
  }
  return order;
}

const flat = (text) => text.split(/\s+/).filter(Boolean).join(" ");

/**
 * An answer in which rows of tables that are quoted alone have dots between their cells. Every character keeps its place,
 * so that spans hold. A table that is there whole stays one.
 */
export function withoutBars({ answer, citations }) {
  if (!answer.includes("|") || /^\s*\|?\s*:?-{3,}/m.test(answer)) return answer;
  const chars = [...answer];
  for (const { answer_span: { start, end } } of citations) {
    const row = chars.slice(start, end);
    if (!/^\s*\|.*\|\s*$/.test(row.join(""))) continue;
    const [first, last] = [row.indexOf("|"), row.lastIndexOf("|")];
    row.forEach((char, at) => {
      if (char === "|") chars[start + at] = at === first || at === last ? " " : "·";
    });
  }
  return chars.join("");
}

/** An answer as Markdown, a footnote for each source. `words`: {page(n), noSource}. */
export function withFootnotes(whole, words) {
  const summary = { ...whole, answer: withoutBars(whole) };
  const points = new CodePoints(summary.answer);
  const behind = (span) => endPlace(summary.answer, points.unit(span.end));
  const order = numbered(summary.citations);
  const places = order.map(({ citation, number }) => [behind(citation.answer_span), `[^${number}]`]);
  places.push(...doubts(summary).map(({ span }) => [behind(span), ` *(${words.noSource})*`]));
  places.sort((one, other) => one[0] - other[0]);
  let out = "";
  let written = 0;
  for (const [at, mark] of places) {
    out += summary.answer.slice(written, at) + mark;
    written = at;
  }
  out += summary.answer.slice(written);
  const notes = new Map();
  for (const { citation, number } of order) notes.set(number, footnote(citation, words));
  return [out.trimEnd(), [...notes].map(([number, note]) => `[^${number}]: ${note}`).join("\n")].filter(Boolean).join("\n\n") + "\n";
}

function footnote(citation, words) {
  const place = [flat(citation.name)];
  if (citation.page) place.push(words.page(citation.page));
  if (citation.headings.length > 0) place.push(flat(citation.headings.join(" > ")));
  return place.join(", ") + (citation.quote.trim() ? `: “${flat(citation.quote)}”` : "");
}
