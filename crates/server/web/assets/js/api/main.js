// The list of routes is the server's own; there is nothing to do.
export {};
