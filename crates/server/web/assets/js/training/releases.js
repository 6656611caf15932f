// Releases: what came of trainings, what was found of each, which one writes, and the way there and back.

import { api } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { ago, bytes, dateTime, modelName, number, t } from "../core/i18n.js";
import { busy, confirmDialog, emptyState, errorState, promptDialog, report, skeleton, toast } from "../core/ui.js";
import { gateView } from "./gate.js";
import { lineageView } from "./lineage.js";
import { button, facts, releaseBadge, sideName } from "./parts.js";

/** What it learned that is gone from here; documents that never were here are another matter. */
const forgotten = (release) => release.gone.filter((one) => one.state !== "never_here");
const label = (release) => `${release.name}@${release.id.slice(0, 12)}`;

/** The list with one release opened; `chosen` is an id, `note(id)` hears which one is. */
export function releasesView(chosen, note) {
  const line = h("div", {});
  const list = h("div", {}, skeleton(4));
  const detail = h("div", { class: "release-detail" });
  const element = h("div", { class: "releases" }, line, h("div", { class: "release-split" }, list, detail));
  let open = chosen;

  const load = async () => {
    try {
      const { releases, model } = await api.get("/v1/releases");
      const writes = (model ?? "extractive") !== "extractive";
      const live = releases.find((one) => one.state === "live");
      replace(line, h("div", { class: "toolbar" },
        h("span", {}, writes ? [t("training.writes"), " ", h("strong", {}, modelName(model))] : t("training.writes.none")),
        live && button(t("training.rollback"), (event) => rollback(event.currentTarget, live, load), { name: "undo", kind: "small" })));
      if (releases.length === 0) {
        replace(list, emptyState({ icon: "chart", title: t("training.releases.none"), text: t("training.releases.none.t") }));
        replace(detail);
        return;
      }
      open ??= releases[0].id;
      replace(list, h("ul", { class: "release-list" }, releases.map((release) => item(release, release.id === open, choose))));
      await show();
    } catch (error) {
      replace(list, errorState(error, load));
    }
  };
  const choose = async (id) => {
    open = id;
    note(id);
    for (const entry of list.querySelectorAll("button")) entry.setAttribute("aria-current", String(entry.dataset.id === id));
    await show();
  };
  const show = async () => {
    const id = open;
    replace(detail, skeleton(5));
    try {
      const [release, learned] = await Promise.all([
        api.get(`/v1/releases/${encodeURIComponent(id)}`),
        // A server without trainings knows releases all the same.
        api.get(`/v1/releases/${encodeURIComponent(id)}/learned`).catch(() => null),
      ]);
      if (id === open) replace(detail, detailOf(release, learned, load));
    } catch (error) {
      if (id === open) replace(detail, errorState(error, show));
    }
  };
  load();
  return element;
}

function item(release, current, choose) {
  return h("li", {},
    h("button", { type: "button", class: "release-item", dataset: { id: release.id }, "aria-current": String(current), onClick: () => choose(release.id) },
      h("span", { class: "row" }, h("strong", { class: "ellipsis grow" }, release.name), releaseBadge(release.state)),
      h("span", { class: "row small dim" }, h("code", {}, release.id.slice(0, 12)), h("span", {}, ago(release.created_at)), bytes(release.bytes)),
      forgotten(release).length > 0 && h("span", { class: "small warn-text" }, t("training.remembers.short", { n: forgotten(release).length }))));
}

function detailOf(release, learned, reload) {
  const { origin, verdict } = release;
  const passed = verdict?.passed;
  const promotable = release.state !== "live" && !release.removed_at;
  return h("div", {},
    h("div", { class: "page-head" },
      h("h2", {}, label(release)), releaseBadge(release.state),
      h("div", { class: "row end" },
        promotable && button(passed ? t("training.promote") : t("training.promote.force"), (event) => promote(event.currentTarget, release, reload), { kind: passed ? "primary" : "", name: "send" }),
        release.state === "live" && button(t("training.rollback"), (event) => rollback(event.currentTarget, release, reload), { name: "undo" }))),
    release.reason && h("p", { class: "notice bad" }, release.reason),
    release.state === "live" && release.forced && h("p", { class: "notice warn" }, t("training.forced", { reason: release.forced })),
    forgotten(release).length > 0 && h("p", { class: "notice warn" }, t("training.remembers", { names: forgotten(release).slice(0, 10).map((one) => one.name).join(", ") })),
    h("section", { class: "card" },
      h("h3", {}, t("training.verdict")),
      verdict ? [
        h("p", {}, h("span", { class: ["badge", passed ? "good" : "bad"] }, passed ? t("training.passed") : t("training.rejected")), " ", t("training.against", { name: sideName(verdict.against) }), " · ", dateTime(verdict.at)),
        h("ul", {}, verdict.reasons.map((reason) => h("li", {}, reason))),
      ] : h("p", { class: "dim" }, t("training.unproven"), " ", h("code", {}, `lore releases evaluate ${label(release)} --dataset FILE`))),
    release.report && gateView(release.report),
    lineageView(release, learned),
    h("section", { class: "card" },
      h("h3", {}, t("training.origin")),
      facts([
        [t("training.base"), origin.base],
        [t("training.created"), dateTime(release.created_at)],
        [t("training.size"), bytes(release.bytes)],
        ["seed", origin.seed === undefined ? null : String(origin.seed)],
        [t("training.version"), origin.code_version],
        [t("training.dataHash"), origin.data_hash && h("code", {}, origin.data_hash.slice(0, 16))],
      ]),
      origin.config && h("details", {}, h("summary", {}, t("training.settings")), h("pre", { tabindex: "0" }, origin.config))),
    release.promotions.length > 0 && h("section", { class: "card" },
      h("h3", {}, t("training.history")),
      h("ul", {}, release.promotions.map((one) => h("li", {},
        t("training.promoted", { at: dateTime(one.at), by: one.by, before: one.before ? modelName(one.before) : t("training.configured") }),
        one.undone_at && ` ${t("training.undone", { at: dateTime(one.undone_at), by: one.undone_by ?? "" })}`)))));
}

async function promote(control, release, reload) {
  const name = label(release);
  let body = {};
  if (release.verdict?.passed) {
    const gone = forgotten(release).length > 0 ? ` ${t("training.promote.gone", { n: forgotten(release).length })}` : "";
    if (!(await confirmDialog({ title: t("training.promote.q", { name }), text: t("training.promote.t") + gone, confirm: t("training.promote") }))) return;
  } else {
    const reason = await promptDialog({ title: t("training.force.q", { name }), label: t("training.force.reason"), hint: t("training.force.h"), confirm: t("training.promote.force"), maxLength: 500 });
    if (!reason?.trim()) return;
    body = { force: true, reason: reason.trim() };
  }
  await switched(control, api.post(`/v1/releases/${encodeURIComponent(release.id)}/promote`, body), reload);
}

async function rollback(control, release, reload) {
  if (!(await confirmDialog({ title: t("training.rollback.q", { name: label(release) }), text: t("training.rollback.t"), confirm: t("training.rollback"), danger: true }))) return;
  await switched(control, api.post(`/v1/releases/${encodeURIComponent(release.id)}/rollback`), reload);
}

async function switched(control, work, reload) {
  try {
    const done = await busy(control, work);
    toast(t("training.switched", { model: modelName(done.model), before: modelName(done.before), seconds: number(done.seconds, { maximumFractionDigits: 1 }) }), { kind: "good" });
    import("../core/frame.js").then((frame) => frame.refreshMe());
    await reload();
  } catch (error) {
    report(error);
  }
}
