// Lines of YAML that are looked for, with the keys that they stand under.

/** Each line with its indent. */
export const blocks = (yaml) => yaml.split("\n").map((text) => ({ text, indent: text.length - text.trimStart().length }));

/** The lines that hold `words`, with what they stand under and what stands under them. */
export function matching(lines, words) {
  const kept = new Set();
  let hits = 0;
  lines.forEach(({ text, indent }, at) => {
    if (!text.toLowerCase().includes(words)) return;
    hits += 1;
    kept.add(at);
    let above = indent;
    for (let n = at - 1; n >= 0 && above > 0; n -= 1) {
      if (lines[n].indent < above) {
        kept.add(n);
        above = lines[n].indent;
      }
    }
    const under = (line) => line.indent > indent || (line.indent === indent && /^\s*- /.test(line.text) && !/^\s*- /.test(text));
    for (let n = at + 1; n < lines.length && under(lines[n]); n += 1) kept.add(n);
  });
  return { hits, lines: lines.filter((_, at) => kept.has(at)).map((line) => line.text) };
}
