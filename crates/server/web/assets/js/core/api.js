// Calls of this server's API.
//
//   api.get(path, params?, {signal}?)    params: null, undefined and "" are left out, arrays are repeated
//   api.post(path, body?, {signal}?)     api.patch(…)   api.put(…)   api.del(path, {signal}?)
//   api.text(path, params?, {signal}?)   the answer as text
//   api.upload(file, fields?, onProgress?, path?)   one file by XMLHttpRequest: a promise with .abort();
//                                        fields: {tag: ["a=b"], acl: "x,y"}; onProgress(sentBytes, allBytes);
//                                        path is /v1/documents where it is left out; file.relativeName, if set, is its name
//   api.raw(method, path, {body, headers, signal})   the Response itself, refused ones thrown
//   {quiet: true} beside signal    401 is thrown as well, and leads nowhere: for what runs by itself
//
// Answers are parsed JSON (null for 204). What is refused is thrown as ApiError {status, code, message, requestId}; a
// server that cannot be reached has status 0 and code "offline"; an aborted call throws the AbortError of fetch.
// 401 leads to the sign-in page and back.

/** What the server refused, or that it was not reached (status 0). */
export class ApiError extends Error {
  constructor(status, code, message, requestId = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

/** The sign-in page, which leads back here. */
export const signInPath = () => `/signin?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`;

function signIn() {
  if (location.pathname !== "/signin") location.assign(signInPath());
}

/** The ApiError that a refused response stands for. */
async function refusal(response, quiet) {
  let error = null;
  try {
    error = (await response.json()).error;
  } catch {
    // A proxy's own page is no JSON; the status says what there is to say.
  }
  return failure(response.status, error, response.headers.get("x-request-id"), quiet);
}

function failure(status, error, requestId, quiet = false) {
  if (status === 401 && !quiet) signIn();
  return new ApiError(status, error?.code ?? "http", error?.message ?? `HTTP ${status}`, requestId);
}

async function raw(method, path, { body, headers = {}, signal, quiet = false } = {}) {
  const sent = { "X-Lore-Web": "1", ...headers };
  let response;
  try {
    response = await fetch(path, { method, body, headers: sent, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "offline", "the server cannot be reached; is it running?");
  }
  if (!response.ok) throw await refusal(response, quiet);
  return response;
}

async function json(method, path, body, options = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await raw(method, path, { ...options, body: body === undefined ? undefined : JSON.stringify(body), headers });
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "broken_off", "the connection to the server broke off");
  }
}

/** The path with its query string. */
export function withParams(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") query.append(name, one);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

function upload(file, fields = {}, onProgress = null, path = "/v1/documents") {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") form.append(name, one);
    }
  }
  form.append("file", file, file.relativeName ?? file.name);
  const request = new XMLHttpRequest();
  const promise = new Promise((resolve, reject) => {
    request.open("POST", path);
    request.responseType = "json";
    request.setRequestHeader("X-Lore-Web", "1");
    if (onProgress) request.upload.onprogress = (event) => onProgress(event.loaded, event.total);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(request.response);
      else reject(failure(request.status, request.response?.error, request.getResponseHeader("x-request-id")));
    };
    request.onerror = () => reject(new ApiError(0, "offline", "the server cannot be reached; is it running?"));
    request.onabort = () => reject(new DOMException("the upload was stopped", "AbortError"));
    request.send(form);
  });
  promise.abort = () => request.abort();
  return promise;
}

/** The calls; see the head of this file. */
export const api = {
  raw,
  upload,
  get: (path, params, options) => json("GET", withParams(path, params), undefined, options),
  text: async (path, params, options) => (await raw("GET", withParams(path, params), options)).text(),
  post: (path, body, options) => json("POST", path, body, options),
  patch: (path, body, options) => json("PATCH", path, body, options),
  put: (path, body, options) => json("PUT", path, body, options),
  del: (path, options) => json("DELETE", path, undefined, options),
};
