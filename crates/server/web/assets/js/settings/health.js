// Whether questions are answered, and if not, why.

import { ApiError, api } from "../core/api.js";
import { h, isAdmin } from "../core/dom.js";
import { ago, modelName, number, plural, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { panel } from "./panel.js";

const EVERY_MS = 10_000;

/** The panel of health. */
export function healthPanel() {
  const made = panel({ ask, show, everyMs: EVERY_MS, lines: 5 });
  if (!isAdmin) made.enter();
  return made;
}

async function ask(signal) {
  const [ready, me, indexes] = await Promise.all([
    api.get("/readyz", null, { signal }).catch((error) => {
      if (error instanceof ApiError && error.status === 503) return { ready: false, why: error.message };
      throw error;
    }),
    api.get("/web/me", null, { signal }).catch(() => null),
    // Not there as long as the indexes are being opened.
    isAdmin ? api.get("/v1/indexes", null, { signal }).catch(() => null) : null,
  ]);
  return { ready, me, indexes, at: Date.now() };
}

function show({ ready, me, indexes, at }) {
  const troubles = ready.troubles ?? [];
  const kind = !ready.ready ? "bad" : troubles.length > 0 ? "warn" : "good";
  const row = (key, value) => value !== null && value !== undefined && h("div", { class: "fact" }, h("dt", {}, t(`settings.health.${key}`)), h("dd", {}, value));
  const lag = ready.lag ?? (indexes ? indexes.last_change - indexes.followed : null);
  return [
    h("div", { class: ["notice row", kind] },
      icon(kind === "good" ? "check" : "alert"),
      h("strong", {}, t(`settings.health.${kind}`)),
      !ready.ready && h("span", { class: "grow" }, ready.why)),
    troubles.length > 0 && h("ul", { class: "troubles" }, troubles.map((trouble) => h("li", {}, trouble))),
    h("dl", { class: "facts card" },
      row("version", ready.version ?? me?.version),
      row("model", me?.model && [modelName(me.model.name), me.model.release && h("span", { class: "dim" }, ` · ${me.model.release}`)]),
      row("keys", me && t(me.keys_required ? "settings.health.keysRequired" : "settings.health.keysNot")),
      row("change", (ready.last_change ?? indexes?.last_change) !== undefined ? number(ready.last_change ?? indexes?.last_change) : null),
      row("lag", lag === null ? null : lag === 0 ? t("settings.health.lag.none") : h("span", { class: "badge warn" }, plural("settings.health.lag", lag))),
      row("questions", me?.queue && t("settings.health.queue", { running: number(me.queue.questions ?? 0), waiting: number(me.queue.waiting ?? 0) })),
      indexes && row("indexes", indexes.preparing ?? indexes.trouble ?? t("settings.health.indexes.good")),
      indexes && row("rebuild", rebuild(indexes.rebuild))),
    h("p", { class: "small dim" }, t("settings.health.at", { ago: ago(at) }), " ", isAdmin && [
      h("a", { href: "/metrics" }, "/metrics"), " · ", h("a", { href: "/api" }, t("core.api"))]),
  ];
}

function rebuild(status) {
  const done = t("settings.health.rebuild.progress", { done: number(status.done), total: number(status.total) });
  const words = { none: t("settings.health.rebuild.none"), running: done, failed: status.error };
  return words[status.state] ?? t("settings.health.rebuild.done");
}
