// Files that a person drops or chooses, folders with all that is in them.

/** Extensions that Lore reads, as the server knows them. */
const READ = new Set(("md markdown mdown txt text log rst adoc asciidoc html htm xhtml pdf docx pptx xlsx xlsm csv tsv eml").split(" "));
/** Most files taken at once. */
const MOST_FILES = 20_000;
/** Folders read at once. */
const AT_ONCE = 4;

/** What the file dialog offers. */
export const ACCEPT = [...READ].map((extension) => `.${extension}`).join(",");

/** Whether a file has a format that Lore reads. */
const isReadable = (name) => READ.has(name.slice(name.lastIndexOf(".") + 1).toLowerCase());

/** Files of a file or folder dialog: each with its path below the folder. */
export function chosen(list) {
  const files = [...list].slice(0, MOST_FILES + 1);
  return sorted(files.map((file) => named(file, file.webkitRelativePath || file.name)), list.length > 1 || Boolean(files[0]?.webkitRelativePath));
}

/** Whether a drag brings files. */
export const bringsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

/** All files of a drop, those in folders too. Must be called while the event runs: later the browser has forgotten them. */
export function dropped(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  return walk(entries.filter(Boolean));
}

async function walk(entries) {
  const files = [];
  const folders = [];
  const take = async (entry) => {
    if (files.length > MOST_FILES) return;
    if (entry instanceof File) files.push(named(entry, entry.name));
    else if (entry.isDirectory) folders.push(entry);
    else files.push(named(await file(entry), entry.fullPath.replace(/^\//, "")));
  };
  for (const entry of entries) await take(entry);
  const many = folders.length > 0 || files.length > 1;
  let open = 0;
  await new Promise((resolve, reject) => {
    const next = () => {
      if (folders.length === 0 && open === 0) resolve();
      while (open < AT_ONCE && folders.length > 0) {
        open += 1;
        read(folders.pop(), take).then(() => { open -= 1; next(); }, reject);
      }
    };
    next();
  });
  return sorted(files, many);
}

/** All entries of a folder: the browser gives a hundred at a time. */
async function read(folder, take) {
  const reader = folder.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const entry of some) await take(entry);
  }
}

const file = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

function named(file, path) {
  file.relativeName = path;
  return file;
}

/** What can be read and what cannot; files that systems put into folders unasked are passed over silently. */
function sorted(all, many) {
  const more = all.length > MOST_FILES;
  const files = [];
  const refused = [];
  for (const file of all.slice(0, MOST_FILES)) {
    const name = file.relativeName;
    if (isReadable(name)) files.push(file);
    else if (!many || !name.split("/").some((part) => part.startsWith(".") || part === "Thumbs.db")) refused.push(file);
  }
  files.sort((one, other) => (one.relativeName < other.relativeName ? -1 : 1));
  return { files, refused, more };
}
