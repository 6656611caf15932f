// The settings file's part for weights that differ from the server's.

const INDEX = new Set(["bm25_k1", "bm25_b", "title_boost", "headings_boost"]);

/** What to put into lore.yaml; nothing where nothing differs. */
export function snippet(weights, own) {
  const retrieve = [];
  const index = [];
  for (const name of Object.keys(own)) {
    if (!(name in weights)) continue;
    if (name === "fusion") {
      const [kind, inner] = Object.entries(weights.fusion)[0];
      const [key, value] = Object.entries(inner)[0];
      retrieve.push("  fusion:", `    ${kind}:`, `      ${key}: ${value}`);
    } else {
      (INDEX.has(name) ? index : retrieve).push(`  ${name}: ${weights[name]}`);
    }
  }
  const parts = [];
  if (retrieve.length > 0) parts.push("retrieve:", ...retrieve);
  if (index.length > 0) parts.push("index:", ...index);
  return parts.join("\n");
}
