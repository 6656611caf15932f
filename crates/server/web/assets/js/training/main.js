// The page of trainings: /training with its tabs, and /training/{id} for one of them.

import { api } from "../core/api.js";
import { $, h, isAdmin, replace } from "../core/dom.js";
import { load, t } from "../core/i18n.js";
import { emptyState, errorState, skeleton, tabs } from "../core/ui.js";
import { compareView } from "./compare.js";
import { composeView } from "./compose.js";
import { releasesView } from "./releases.js";
import { runsView } from "./runs.js";
import { runView } from "./run.js";

await load("training");
const root = $("#training");
const id = /^\/training\/([0-9a-f-]{36})$/.exec(location.pathname)?.[1];

if (isAdmin) await begin();
else replace(root, emptyState({ icon: "key", title: t("training.admin"), text: t("training.admin.t") }));

async function begin() {
  replace(root, skeleton(6));
  let choices = null;
  try {
    choices = await api.get("/v1/trainings/choices");
  } catch (error) {
    // What runs can be watched without them.
    if (!id) {
      replace(root, errorState(error, begin));
      return;
    }
  }
  replace(root, id ? runView(id, choices) : parts(choices));
}

function parts(choices) {
  const asked = new URLSearchParams(location.search);
  const note = (changes) => {
    const now = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(changes)) {
      if (value) now.set(key, value);
      else now.delete(key);
    }
    const text = now.toString();
    history.replaceState(null, "", text ? `/training?${text}` : "/training");
  };
  const go = (tab, more = {}) => {
    note({ tab, ...more });
    location.reload();
  };
  const list = [
    { id: "runs", label: t("training.runs"), panel: () => runsView(choices, go) },
    { id: "new", label: t("training.new"), panel: () => composeView(choices) },
    { id: "compare", label: t("training.compare"), panel: () => compareView((asked.get("runs") ?? "").split(",").filter(Boolean), (ids) => note({ runs: ids.join(",") })) },
    { id: "releases", label: t("training.releases"), panel: () => releasesView(asked.get("release"), (one) => note({ release: one })) },
  ];
  const made = tabs(list, {
    label: t("core.title.training"),
    selected: list.some((one) => one.id === asked.get("tab")) ? asked.get("tab") : "runs",
    onSelect: (tab) => note({ tab: tab === "runs" ? null : tab }),
  });
  return h("div", {}, made.element);
}
