// A page that says that there is none; there is nothing to do.
export {};
