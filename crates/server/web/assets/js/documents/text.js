// The parsed text of any length with the borders of its chunks. It is cut into windows; those near what is seen are
// loaded, the others are empty boxes of about their height.

import { api } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { pages } from "../core/format.js";
import { number, plural, t } from "../core/i18n.js";
import { documentPath } from "../core/paths.js";
import { emptyState, errorState, skeleton } from "../core/ui.js";
import { lines } from "./prose.js";

/** Code points of a window, and how much further a window looks for the end of its last line. */
const WINDOW = 12_000;
const LOOK = 1_500;
/** Windows stay loaded for so many pixels beyond the sight. */
const NEAR = "1500px";
/** Height of a window that was never shown: lines of so many characters. */
const GUESS = (WINDOW / 70) * 26;
/** How long the place that was looked for is kept in sight while what is around it comes. */
const AIM_MS = 2_500;

/** The text of a document, `place` ({start, end}) marked and in sight; an element with .destroy(). */
export function textView(document, place = null) {
  const element = h("div", { class: "text-view" });
  let observer = null;
  const start = async () => {
    replace(element, skeleton(8));
    try {
      const first = await part(document.id, 0);
      if (first.total === 0) {
        replace(element, emptyState({ icon: "document", title: t("documents.text.empty") }));
        return;
      }
      show(first);
    } catch (error) {
      replace(element, errorState(error, start));
    }
  };

  function show(first) {
    const windows = Array.from({ length: Math.max(1, Math.ceil(first.total / WINDOW)) }, (_, index) => {
      const box = h("div", { class: "text-window", dataset: { index } });
      if (index > 0) box.style.setProperty("height", `${GUESS}px`);
      return { box, index, state: "empty" };
    });
    const until = performance.now() + AIM_MS;
    const aim = () => {
      if (place && performance.now() < until) element.querySelector(".chunk.found")?.scrollIntoView({ block: "start" });
    };
    const load = async (one) => {
      one.state = "loading";
      try {
        const found = one.index === 0 ? first : await part(document.id, one.index);
        if (one.state !== "loading") return;
        fill(one.box, found, one.index, place);
        one.state = "shown";
        one.box.style.removeProperty("height");
        aim();
      } catch (error) {
        one.state = "failed";
        replace(one.box, errorState(error, () => load(one)));
      }
      one.box.style.removeProperty("height");
    };
    const unload = (one) => {
      if (one.state === "shown") {
        one.box.style.setProperty("height", `${one.box.offsetHeight}px`);
        replace(one.box);
      }
      one.state = "empty";
    };
    observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const one = windows[Number(target.dataset.index)];
        if (isIntersecting && one.state === "empty") load(one);
        else if (!isIntersecting && one.state !== "empty") unload(one);
      }
    }, { rootMargin: `${NEAR} 0px` });
    replace(element,
      h("p", { class: "text-about dim small" }, plural("documents.text.about", document.chunks, { chars: number(first.total) })),
      windows.map(({ box }) => box));
    if (place) windows[Math.min(windows.length - 1, Math.floor(place.start / WINDOW))].box.scrollIntoView({ block: "start" });
    for (const { box } of windows) observer.observe(box);
  }

  start();
  element.destroy = () => observer?.disconnect();
  return element;
}

/** The text and the chunks of a window, each with a look at what follows it. */
async function part(id, index) {
  const start = index * WINDOW;
  const range = { start, end: start + WINDOW + LOOK };
  const [text, chunks] = await Promise.all([
    api.get(documentPath(id, "/text"), range),
    api.get(documentPath(id, "/chunks"), range),
  ]);
  // A version that went live between the two has other borders.
  const places = chunks.version === text.version ? chunks.chunks : [];
  return { start, total: text.total, points: Array.from(text.text), chunks: places };
}

/** Shows a window: from the first line that begins in it to the end of the last one. */
function fill(box, { start, total, points, chunks }, index, place) {
  const lineEnd = (from) => {
    const at = points.indexOf("\n", from);
    return at >= 0 && at - from < LOOK ? at + 1 : from;
  };
  const from = index === 0 ? 0 : lineEnd(0);
  const to = start + WINDOW >= total ? points.length : lineEnd(WINDOW);
  replace(box, stretches(chunks, start + from, start + to, place).map(({ from, to, within, opens }) => {
    const text = points.slice(from - start, to - start).join("");
    // Between two chunks there is often nothing but the empty line.
    if (within.length === 0 && text.trim() === "") return null;
    const found = place && from < place.end && to > place.start;
    const inner = lines(text.replace(/^\n+/, "").trimEnd());
    return h("div", { class: ["chunk", within.length === 0 && "none", within.length > 1 && "shared", found && "found"] },
      opens.map(border),
      within.length > 1 && opens.length === 0 && h("div", { class: "chunk-note" }, t("documents.text.shared")),
      h("div", { class: "chunk-text" }, found ? h("mark", {}, inner) : inner));
  }));
}

/** The text between `from` and `to` cut where a chunk or the place that is looked for begins or ends. */
function stretches(chunks, from, to, place) {
  const cuts = new Set([from, to]);
  for (const { start, end } of place ? [...chunks, place] : chunks) for (const at of [start, end]) if (at > from && at < to) cuts.add(at);
  const places = [...cuts].sort((a, b) => a - b);
  return places.slice(0, -1).map((start, index) => ({
    from: start,
    to: places[index + 1],
    within: chunks.filter((chunk) => chunk.start <= start && chunk.end > start),
    opens: chunks.filter((chunk) => chunk.start === start),
  }));
}

function border({ ordinal, pages: range, headings, start, end }) {
  const parts = [t("documents.text.chunk", { n: number(ordinal + 1) })];
  const page = pages(range);
  if (page) parts.push(t("documents.text.page", { n: page }));
  parts.push(plural("documents.text.characters", end - start));
  return h("div", { class: "chunk-border" },
    h("span", { class: "chunk-number" }, parts.join(" · ")),
    headings.length > 0 && h("span", { class: "ellipsis", title: headings.join(" › ") }, headings.join(" › ")));
}
