// What the page shows, kept in its address, so that a bench can be sent to somebody.

const MODES = ["hybrid", "dense", "lexical"];

/** The state that the address tells. */
export function fromAddress() {
  const params = new URLSearchParams(location.search);
  const mode = params.get("mode");
  const limit = Number.parseInt(params.get("limit") ?? "", 10);
  return {
    query: params.get("q") ?? "",
    mode: MODES.includes(mode) ? mode : "hybrid",
    limit: limit >= 1 && limit <= 1000 ? limit : 10,
    tags: params.get("tags") ?? "",
    language: params.get("language") ?? "",
    from: params.get("from") ?? "",
    to: params.get("to") ?? "",
    groups: params.get("groups"),
    compare: params.has("b"),
    a: weights(params.get("a")),
    b: weights(params.get("b")),
  };
}

/** Puts the state into the address. */
export function toAddress(state) {
  const params = new URLSearchParams();
  const put = (name, value, usual = "") => {
    if (value !== null && value !== usual) params.set(name, value);
  };
  put("q", state.query);
  put("mode", state.mode, "hybrid");
  put("limit", String(state.limit), "10");
  for (const name of ["tags", "language", "from", "to", "groups"]) put(name, state[name], name === "groups" ? null : "");
  put("a", JSON.stringify(state.a), "{}");
  if (state.compare) params.set("b", JSON.stringify(state.b));
  const text = params.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

/** Weights of an address; what is none is left out, the server judges the values. */
function weights(text) {
  try {
    const value = JSON.parse(text ?? "{}");
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
  } catch {
    return {};
  }
}
