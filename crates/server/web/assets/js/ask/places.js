// From what was clicked in an answer to the place in a document that it stands for.

/** What the source panel is to open for `target`, or null. */
export function request(turn, target) {
  const { passage, near } = target.dataset;
  if (near !== undefined) {
    const { document, name, title } = turn.summary.nearest[near];
    return { document, name, title, version: null, span: null, origin: target };
  }
  if (passage !== undefined) {
    const { document, version, name, title, headings, pages, span } = turn.sources[passage];
    return { document, version, name, title, headings, page: pages?.first, span, origin: target };
  }
  const citation = turn.source(target);
  if (!citation) return null;
  const { document, version, name, title, headings, page, source_span: span } = citation;
  const places = siblings(turn, citation);
  const at = places.findIndex((one) => one.start === span.start && one.end === span.end);
  return { document, version, name, title, headings, page, span, places, at: Math.max(0, at), origin: target };
}

/** The places that the answer cites of the same version, in the document's order. */
function siblings(turn, { document, version }) {
  const places = [];
  for (const one of turn.summary?.citations ?? turn.seen) {
    const { page, source_span: { start, end } } = one;
    const known = places.some((place) => place.start === start && place.end === end);
    if (one.document === document && one.version === version && !known) places.push({ start, end, page });
  }
  return places.sort((one, other) => one.start - other.start || one.end - other.end);
}
