// The sliders of one set of weights, and its YAML.
//
// Weights are kept as the API takes them, and only those that differ from the server's own settings.

import { h, replace, uid } from "../core/dom.js";
import { number, t } from "../core/i18n.js";
import { icon, iconButton } from "../core/icons.js";
import { copyButton } from "../core/ui.js";
import { snippet } from "./yaml.js";

/** The sliders in the order of the page; `more` ones are folded away. */
const SLIDERS = [
  { name: "superseded_factor" },
  { name: "rerank_depth", whole: true, reranker: true },
  { name: "candidates", whole: true, more: true },
  { name: "fold_similarity", more: true },
  { name: "foreign_dense_weight", more: true },
  { name: "title_boost", more: true },
  { name: "headings_boost", more: true },
  { name: "bm25_k1", more: true },
  { name: "bm25_b", more: true },
];

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** A panel that calls `onChange(weights)` with what differs from the settings. */
export function weightsPanel({ known, side, weights, other, onChange, onCopyOther }) {
  const own = known.weights;
  let current = { ...weights };
  const yaml = h("code");
  const resetAll = h("button", { type: "button", class: "button quiet small", onClick: () => set({}, true) },
    icon("undo", 14), t("search.weights.reset"));
  const body = h("div", { class: "weights-body" });
  const copy = copyButton(() => snippet(current, own), "small");

  function set(next, rebuild = false) {
    // What says the same as the settings says nothing.
    current = Object.fromEntries(Object.entries(next).filter(([name, value]) => value !== undefined && !same(value, own[name])));
    if (rebuild) fill();
    tell();
    onChange(current);
  }
  const put = (name, value) => set({ ...current, [name]: value });
  const tell = () => {
    yaml.textContent = snippet(current, own) || `# ${t("search.yaml.none")}`;
    const changed = Object.keys(current).length > 0;
    resetAll.disabled = !changed;
    copy.disabled = !changed;
  };

  function fill() {
    const of = ({ name, whole }) => slider({
      label: t(`search.weights.${name}`),
      hint: t(`search.weights.${name}.hint`),
      bound: known.bounds[name],
      whole,
      value: current[name] ?? own[name],
      own: own[name],
      onInput: (value) => put(name, value),
    });
    const shown = SLIDERS.filter((one) => !one.reranker || known.reranker);
    const folded = shown.filter((one) => one.more);
    replace(body,
      fusion(known, current, put),
      shown.filter((one) => !one.more).map(of),
      h("details", { class: "weights-more", open: folded.some((one) => one.name in current) },
        h("summary", {}, t("search.weights.more")), h("div", {}, folded.map(of))));
  }

  fill();
  tell();
  const title = side ? t(`search.side.${side}`) : t("search.settings");
  return h("section", { class: ["card weights", side && `side-${side}`], "aria-label": title },
    h("div", { class: "weights-head" },
      h("h2", {}, side && h("span", { class: ["side", `side-${side}`], "aria-hidden": "true" }, side.toUpperCase()), title),
      other && h("button", { type: "button", class: "button quiet small", onClick: onCopyOther },
        t(side === "a" ? "search.side.fromB" : "search.side.fromA")),
      resetAll),
    body,
    h("div", { class: "weights-yaml" },
      h("div", { class: "row" }, h("h3", { class: "grow" }, t("search.yaml")), copy),
      h("pre", { tabindex: "0", "aria-label": t("search.yaml") }, yaml),
      h("p", { class: "small dim" }, t("search.yaml.hint"))));
}

/** How the two lists become one: the kind, and its weight. */
function fusion(known, current, put) {
  const own = known.weights.fusion;
  const now = current.fusion ?? own;
  const name = uid("fusion");
  const usual = { convex: { convex: { dense_weight: 0.5 } }, rrf: { rrf: { k: 60 } } };
  const box = h("div", { class: "fusion" });
  let chosen = now;
  const draw = () => {
    const kind = Object.keys(chosen)[0];
    const inner = kind === "convex" ? "dense_weight" : "k";
    const start = own[kind]?.[inner];
    const choose = (next) => {
      chosen = own[next] ? own : usual[next];
      put("fusion", chosen);
      draw();
      box.querySelector(`input[value="${next}"]`)?.focus();
    };
    replace(box,
      h("div", { class: "row fusion-kinds" }, ["convex", "rrf"].map((one) =>
        h("label", { class: ["chip", one === kind && "on"] },
          h("input", { type: "radio", name, value: one, checked: one === kind, onChange: () => choose(one) }),
          t(`search.weights.fusion.${one}`)))),
      slider({
        label: t(`search.weights.${inner}`),
        hint: t(`search.weights.${inner}.hint`),
        ends: kind === "convex" ? [t("search.weights.words"), t("search.weights.meaning")] : null,
        bound: kind === "rrf" && known.bounds.k.most < 2 ? { least: 1, most: 200, step: 1 } : known.bounds[inner],
        value: chosen[kind][inner],
        own: start ?? chosen[kind][inner],
        onInput: (value) => {
          chosen = { [kind]: { [inner]: value } };
          put("fusion", chosen);
        },
      }));
  };
  draw();
  return h("fieldset", { class: "fusion-box" }, h("legend", {}, t("search.weights.fusion")), box);
}

/** A slider with its value as a number that can be written, and a way back. */
function slider({ label, hint, ends = null, bound, whole = false, value, own, onInput }) {
  const id = uid("weight");
  const step = whole ? "1" : "any";
  const range = h("input", {
    id, type: "range", min: String(bound.least), max: String(bound.most), step: String(bound.step), value: String(value),
    "aria-describedby": `${id}-hint`,
  });
  const exact = h("input", {
    class: "input weight-number", type: "number", min: String(bound.least), max: String(bound.most), step, value: plain(value),
    "aria-label": label,
  });
  const reset = iconButton("undo", t("search.weights.back", { value: number(own, { maximumFractionDigits: 4 }) }),
    { class: "small weight-reset", onClick: () => take(own, true) });
  const mark = (now) => reset.classList.toggle("off", now === own);
  const take = (next, both = false) => {
    const clean = Number(plain(Math.min(bound.most, Math.max(bound.least, next))));
    if (!Number.isFinite(clean)) return;
    if (both) range.value = exact.value = plain(clean);
    reset.tabIndex = clean === own ? -1 : 0;
    mark(clean);
    onInput(clean);
  };
  range.addEventListener("input", () => {
    exact.value = plain(range.valueAsNumber);
    take(range.valueAsNumber);
  });
  exact.addEventListener("change", () => take(exact.valueAsNumber, true));
  mark(value);
  reset.tabIndex = value === own ? -1 : 0;
  return h("div", { class: "weight" },
    h("div", { class: "weight-head" }, h("label", { for: id }, label), reset, exact),
    range,
    ends && h("div", { class: "weight-ends", "aria-hidden": "true" }, ends.map((one) => h("span", {}, one))),
    h("p", { class: "weight-hint", id: `${id}-hint` }, hint));
}

/** A value without the noise of binary fractions. */
const plain = (value) => String(Number(Number(value).toFixed(4)));
