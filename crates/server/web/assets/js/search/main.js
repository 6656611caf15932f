// The entry of the page; its owner fills it.
export {};
