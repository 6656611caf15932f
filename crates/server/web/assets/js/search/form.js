// The query with what restricts it.

import { h, isAdmin, uid } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { areTags, filterOf } from "./service.js";

/** The form above the hits; `check()` says whether it can be searched with. */
export function queryForm({ known, state, onSearch, onCompare }) {
  const id = uid("query");
  const query = h("input", {
    id, class: "input bench-query", type: "search", name: "q", value: state.query, maxlength: "4000", autocomplete: "off",
    placeholder: t("search.query.placeholder"), enterkeyhint: "search",
  });
  const mode = h("select", { class: "input", value: state.mode, "aria-label": t("search.mode"), onChange: () => go() },
    ["hybrid", "dense", "lexical"].map((one) => h("option", { value: one }, t(`search.mode.${one}`))));
  const limit = h("input", {
    class: "input bench-limit", type: "number", min: "1", max: String(known.most_hits), value: String(state.limit),
    "aria-label": t("search.limit"), onChange: () => go(),
  });
  const tags = text("tags", state.tags, t("search.filter.tags.hint"));
  const language = text("language", state.language, t("search.filter.language.hint"));
  const from = text("from", state.from, null, "date");
  const to = text("to", state.to, null, "date");
  const groups = isAdmin ? text("groups", state.groups ?? "", t("search.filter.groups.hint")) : null;
  const asGroup = isAdmin ? h("input", { type: "checkbox", id: uid("as"), checked: state.groups !== null }) : null;

  /** Whether the fields can be searched with; says what is wrong where not. */
  function check() {
    const fine = areTags(state.tags);
    tags.fail(fine ? null : t("search.filter.tags.wrong"));
    if (!fine) more.open = true;
    return fine;
  }

  function go() {
    state.query = query.value;
    state.mode = mode.value;
    const most = Math.min(known.most_hits, Math.max(1, Math.round(limit.valueAsNumber) || 10));
    state.limit = most;
    limit.value = String(most);
    Object.assign(state, { tags: tags.input.value, language: language.input.value, from: from.input.value, to: to.input.value });
    state.groups = asGroup?.checked ? groups.input.value : null;
    mark();
    onSearch();
  }

  const compare = h("button",
    { type: "button", class: "button", "aria-pressed": String(state.compare), onClick: () => {
      const on = compare.getAttribute("aria-pressed") !== "true";
      compare.setAttribute("aria-pressed", String(on));
      onCompare(on);
    } },
    t("search.compare"));
  const count = h("span", { class: "badge accent", hidden: true });
  const mark = () => {
    const used = Object.keys(filterOf(state)).length + (state.groups === null ? 0 : 1);
    count.hidden = used === 0;
    count.textContent = String(used);
  };
  mark();
  const more = h("details", { class: "bench-filters", open: !count.hidden },
    h("summary", { class: "chip" }, icon("filter", 14), t("search.filter"), count),
    h("div", { class: "bench-fields" }, tags.field, language.field, from.field, to.field,
      groups && h("div", { class: "field" },
        h("label", { class: "check", for: asGroup.id }, asGroup, t("search.filter.groups")),
        groups.input, groups.hint)));
  if (groups) {
    groups.input.addEventListener("input", () => { asGroup.checked = true; });
    groups.input.setAttribute("aria-label", t("search.filter.groups"));
  }
  const element = h("form", { class: "bench-form", role: "search", onSubmit: (event) => {
    event.preventDefault();
    go();
  } },
  h("div", { class: "toolbar" },
    h("label", { class: "visually-hidden", for: id }, t("search.query")),
    query, mode,
    h("span", { class: "row nowrap" }, limit, h("span", { class: "dim small" }, t("search.limit.unit"))),
    h("button", { type: "submit", class: "button primary" }, icon("search", 16), t("search.go")),
    compare),
  more);
  more.addEventListener("change", () => go());
  return { element, check, focus: () => query.focus() };
}

function text(name, value, hint, type = "text") {
  const id = uid(name);
  const input = h("input", { id, class: "input", type, value, autocomplete: "off", "aria-describedby": hint ? `${id}-hint` : null });
  const words = hint && h("p", { class: "hint", id: `${id}-hint` }, hint);
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const field = () => h("div", { class: "field" }, h("label", { for: id }, t(`search.filter.${name}`)), input, words, error);
  const fail = (message) => {
    error.hidden = message === null;
    error.textContent = message ?? "";
    if (message === null) input.removeAttribute("aria-invalid");
    else input.setAttribute("aria-invalid", "true");
  };
  return { input, hint: words, fail, field: name === "groups" ? null : field() };
}
