// What a release learned from, and how that stands today.

import { h } from "../core/dom.js";
import { number, plural, t } from "../core/i18n.js";
import { documentPage } from "../core/paths.js";
import { facts } from "./parts.js";

const KINDS = { live: "good", replaced: "", version_gone: "warn", deleted: "bad", never_here: "" };
const SHOWN = 50;

/** The lineage of a release; `learned` is what its run's record tells, or null. */
export function lineageView(release, learned) {
  const { sources } = release;
  const count = (state) => sources.filter((one) => one.state === state).length;
  return h("section", { class: "card" },
    h("h3", {}, t("training.lineage")),
    learned ? facts([
      [t("training.examples"), number(learned.examples)],
      [t("training.pairs"), number(learned.pairs)],
      [t("training.ofFeedback"), number(learned.feedback)],
      [t("training.tokens"), `${number(learned.tokens)}, ${t("training.learned", { n: number(learned.labels) })}`],
      [t("training.steps"), number(learned.steps)],
      [t("training.documents"), number(release.documents)],
    ]) : h("p", { class: "dim" }, t("training.lineage.none")),
    count("deleted") > 0 && h("p", { class: "notice warn" }, t("training.deleted", { n: number(count("deleted")) })),
    count("never_here") > 0 && h("p", { class: "dim small" }, t("training.neverHere", { n: number(count("never_here")) })),
    sources.length > 0 && h("details", { open: sources.length <= 12 },
      h("summary", {}, plural("training.sources", sources.length)),
      h("ul", { class: "sources" }, order(sources).slice(0, SHOWN).map(source)),
      sources.length > SHOWN && h("p", { class: "dim" }, t("training.sources.more", { n: number(sources.length - SHOWN) }))));
}

/** What is gone comes first. */
const order = (sources) => [...sources].sort((a, b) => rank(b.state) - rank(a.state));
const rank = (state) => ["never_here", "live", "replaced", "version_gone", "deleted"].indexOf(state);

function source(one) {
  const name = ["deleted", "never_here"].includes(one.state) ? h("span", {}, one.name) : h("a", { href: documentPage(one.document) }, one.name);
  return h("li", { class: "row" }, h("span", { class: "grow" }, name, h("span", { class: "dim small" }, ` · ${t("training.versionN", { n: one.version })}`)),
    h("span", { class: ["badge", KINDS[one.state]] }, t(`training.source.${one.state}`)));
}
