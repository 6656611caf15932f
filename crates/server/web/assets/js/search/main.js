// The search page: one query under the settings, or under others, and why its hits are what they are.

import { $, h, replace } from "../core/dom.js";
import { debounce } from "../core/format.js";
import { load, plural, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { announce, emptyState, errorState, skeleton } from "../core/ui.js";
import { comparison } from "./compare.js";
import { queryForm } from "./form.js";
import { results } from "./results.js";
import { find, settings } from "./service.js";
import { fromAddress, toAddress } from "./state.js";
import { weightsPanel } from "./weights.js";

/** How long a slider rests before the search runs again. */
const REST_MS = 250;

const root = $("#search");

async function start() {
  await load("search");
  replace(root, skeleton(6));
  let known;
  try {
    known = await settings();
  } catch (error) {
    replace(root, errorState(error, start));
    return;
  }
  bench(known);
}

function bench(known) {
  const state = fromAddress();
  const output = h("div", { class: "bench-output" });
  let running = null;

  const run = async () => {
    again.cancel();
    running?.abort();
    // Not at each move of a slider: browsers bound how often an address may change.
    toAddress(state);
    if (!form.check()) {
      // Hits of another filter would say something else than the fields do.
      output.removeAttribute("aria-busy");
      replace(output);
      return;
    }
    if (!state.query.trim()) {
      replace(output, emptyState({ icon: "search", title: t("search.empty.title"), text: t("search.empty.text") }));
      return;
    }
    running = new AbortController();
    const { signal } = running;
    output.setAttribute("aria-busy", "true");
    if (!output.querySelector(".bench-results")) replace(output, skeleton(8));
    try {
      const sides = state.compare ? [state.a, state.b] : [state.a];
      const found = await Promise.all(sides.map((weights) => find(state, weights, signal)));
      show(output, found, state);
      announce(plural("search.hits", found[0].hits.length));
    } catch (error) {
      if (error.name !== "AbortError") replace(output, errorState(error, run));
    } finally {
      if (running.signal === signal) output.removeAttribute("aria-busy");
    }
  };
  const again = debounce(run, REST_MS);

  const aside = h("aside", { class: "bench-settings", "aria-label": t("search.settings") });
  const panels = () => {
    const names = state.compare ? ["a", "b"] : ["a"];
    replace(aside, names.map((side) =>
      weightsPanel({
        known,
        side: state.compare ? side : null,
        weights: state[side],
        other: state.compare ? state[side === "a" ? "b" : "a"] : null,
        onChange: (weights) => {
          state[side] = weights;
          again();
        },
        onCopyOther: () => {
          state[side] = { ...state[side === "a" ? "b" : "a"] };
          panels();
          again();
        },
      })));
  };
  const form = queryForm({
    known,
    state,
    onSearch: run,
    onCompare: (on) => {
      state.compare = on;
      root.classList.toggle("comparing", on);
      // Two settings that are alike give the same hits: the next step is to change one.
      fold.open ||= on;
      panels();
      again();
    },
  });
  root.classList.toggle("comparing", state.compare);
  panels();
  // On a narrow screen the settings would push the hits far down.
  const fold = h("details", { class: "bench-fold", open: matchMedia("(min-width: 901px)").matches },
    h("summary", { class: "bench-fold-head" }, icon("chevron", 16), t("search.settings")), aside);
  replace(root, form.element, h("div", { class: "bench-body" }, fold, output));
  run();
  if (!state.query) form.focus();
}

function show(output, found, state) {
  const both = found.length > 1 ? comparison(...found) : null;
  replace(output,
    both?.table,
    h("div", { class: ["bench-results", both && "two"] }, found.map((one, n) => results(one, { side: both && "ab"[n], badge: both?.badge, state }))));
}

start();
