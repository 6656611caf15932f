// API keys: make one, see which there are, revoke one.

import { api } from "../core/api.js";
import { h, replace, uid } from "../core/dom.js";
import { ago, date, dateTime, plural, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { busy, confirmDialog, copyButton, emptyState, errorWords, formDialog, openDialog, report, toast } from "../core/ui.js";
import { nameChips, namesIn } from "../core/ui/names.js";
import { panel } from "./panel.js";

/** The panel of keys. */
export function keysPanel() {
  let withRevoked = false;
  let told = null;
  const made = panel({
    ask: async (signal) => {
      const [keys, groups] = await Promise.all([
        api.get("/v1/keys", null, { signal }), api.get("/v1/groups", null, { signal }),
      ]);
      return { keys: keys.keys, groups: groups.groups.map((group) => group.name) };
    },
    show: (next, again) => {
      told = next;
      return view(told, again);
    },
  });
  const view = ({ keys, groups }, again) => {
    const live = keys.filter((key) => !key.revoked_at);
    const shown = withRevoked ? keys : live;
    const revoked = keys.length - live.length;
    return [
      h("div", { class: "toolbar" },
        h("p", { class: "dim grow intro" }, t("settings.keys.intro")),
        revoked > 0 && h("label", { class: "check small" },
          h("input", { type: "checkbox", checked: withRevoked, onChange: (event) => {
            withRevoked = event.target.checked;
            replace(made.element, view(told, again));
            made.element.querySelector("input[type=checkbox]")?.focus();
          } }),
          plural("settings.keys.revoked", revoked)),
        h("button", { type: "button", class: "button primary", onClick: () => newKey(groups, again) }, icon("plus", 16), t("settings.keys.new"))),
      shown.length === 0
        ? emptyState({ icon: "key", title: t("settings.keys.none"), text: t("settings.keys.none.text") })
        : h("ul", { class: "keys" }, [...shown].reverse().map((key) => h("li", {}, row(key, again)))),
    ];
  };
  return made;
}

function row(key, again) {
  const rights = key.admin
    ? h("span", { class: "badge accent" }, t("settings.keys.admin"))
    : key.groups.length > 0
      ? key.groups.map((group) => h("span", { class: "badge" }, group))
      : h("span", { class: "badge" }, t("settings.keys.open"));
  const used = key.last_used_at ? t("settings.keys.used", { ago: ago(key.last_used_at) }) : t("settings.keys.unused");
  return h("article", { class: ["key", key.revoked_at && "revoked"] },
    h("div", { class: "key-name" },
      h("strong", {}, key.name), h("code", { class: "dim small" }, `lore_${key.id}_…`)),
    h("div", { class: "row key-rights" }, rights, key.revoked_at && h("span", { class: "badge bad" }, t("settings.keys.revokedAt", { at: date(key.revoked_at) }))),
    h("div", { class: "small dim key-times" },
      h("span", { title: dateTime(key.created_at) }, t("settings.keys.made", { at: date(key.created_at) })),
      h("span", { title: key.last_used_at && dateTime(key.last_used_at) }, used)),
    key.revoked_at ? h("span", {}) : h("button", { type: "button", class: "button quiet danger small", "aria-label": t("settings.keys.revoke.label", { name: key.name }), onClick: () => revoke(key, again) }, t("settings.keys.revoke")));
}

async function revoke(key, again) {
  const sure = await confirmDialog({
    title: t("settings.keys.revoke.title", { name: key.name }),
    text: t("settings.keys.revoke.text"),
    confirm: t("settings.keys.revoke"),
    danger: true,
  });
  if (!sure) return;
  try {
    await api.del(`/v1/keys/${encodeURIComponent(key.id)}`);
    toast(t("settings.keys.revoke.done", { name: key.name }), { kind: "good" });
    again();
  } catch (error) {
    report(error);
  }
}

/** Asks for what a key is to be, makes it, and shows its secret this once. */
function newKey(groups, again) {
  const id = uid("key");
  const name = h("input", { id: `${id}-name`, name: "name", required: true, maxlength: "100", autocomplete: "off", "aria-describedby": `${id}-name-hint` });
  const member = h("input", { id: `${id}-groups`, name: "groups", autocomplete: "off", spellcheck: "false", "aria-describedby": `${id}-groups-hint` });
  const groupField = h("div", { class: "field" },
    h("label", { for: member.id }, t("settings.keys.groups")), member, nameChips(member, groups.slice(0, 30)),
    h("p", { class: "hint", id: `${id}-groups-hint` }, t("settings.keys.groups.hint")));
  const admin = h("input", { type: "checkbox", id: `${id}-admin`, onChange: () => { groupField.hidden = admin.checked; } });
  const wrong = h("p", { class: "error notice bad small", role: "alert", hidden: true });
  formDialog({
    title: t("settings.keys.new"),
    fields: [
      h("div", { class: "field" }, h("label", { for: name.id }, t("settings.keys.name")), name,
        h("p", { class: "hint", id: `${id}-name-hint` }, t("settings.keys.name.hint"))),
      h("div", { class: "field" },
        h("label", { class: "check", for: admin.id }, admin, h("span", {}, t("settings.keys.admin.label"))),
        h("p", { class: "hint" }, t("settings.keys.admin.hint"))),
      groupField, wrong,
    ],
    confirm: t("settings.keys.create"),
    onSubmit: async (dialog, button) => {
      wrong.hidden = true;
      const body = { name: name.value.trim(), groups: admin.checked ? [] : namesIn(member.value), admin: admin.checked };
      try {
        const made = await busy(button, api.post("/v1/keys", body));
        dialog.close("");
        again();
        secret(made);
      } catch (error) {
        replace(wrong, errorWords(error));
        wrong.hidden = false;
      }
    },
  });
  name.focus();
}

function secret({ key, secret: text }) {
  const field = h("input", { class: "input mono secret", readonly: true, value: text, "aria-label": t("settings.keys.secret"), onFocus: () => field.select() });
  // Until it was copied, or somebody says so, one careless key does not throw it away.
  let kept = false;
  const copy = copyButton(text, "primary", () => {
    kept = false;
    field.select();
  });
  copy.addEventListener("click", () => (kept = true));
  field.addEventListener("copy", () => (kept = true));
  const dialog = openDialog({
    title: t("settings.keys.made.title", { name: key.name }),
    body: h("div", { class: "stack" },
      h("p", { class: "notice warn" }, t("settings.keys.once")),
      h("div", { class: "row" }, field, copy),
      h("p", { class: "small dim" }, t("settings.keys.how")),
      h("pre", { class: "small", tabindex: "0" }, `Authorization: Bearer ${text}`)),
    actions: [h("button", { type: "button", class: "button", onClick: () => dialog.close("") }, t("settings.keys.kept"))],
  });
  for (const name of ["keydown", "cancel"]) {
    dialog.addEventListener(name, (event) => {
      if (kept || (name === "keydown" && event.key !== "Escape")) return;
      event.preventDefault();
      copy.focus();
    });
  }
  copy.focus();
}
