// Addresses of documents.

/** The API's path of a document. */
export const documentPath = (id, rest = "") => `/v1/documents/${encodeURIComponent(id)}${rest}`;

/** Where the original is; a PDF opens at a page. */
export const originalPath = (id, { version = null, page = null } = {}) =>
  documentPath(id, `/content${version ? `?version=${version}` : ""}${page ? `#page=${page}` : ""}`);

/** The page of a document, at a place in one of its versions where that is said. */
export const documentPage = (id, { version, span } = {}) =>
  `/documents/${encodeURIComponent(id)}${span ? `?version=${version}&start=${span.start}&end=${span.end}` : ""}`;
