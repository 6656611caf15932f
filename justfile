# The commands of every day. `just` alone lists them; `just ci` is what a change must pass.

# list the recipes
default:
    @just --list

# everything that CI does
ci:
    bash .ci/run

# format the code
fmt:
    cargo fmt --all

# lint, warnings denied
clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# run the tests; FILTER picks some
test *FILTER:
    cargo test --workspace --locked {{FILTER}}

# check licences, sources and advisories of the dependencies (needs cargo-deny)
deny:
    cargo deny check

# build the documentation, broken links denied
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# fetch the embedder, ingest docs-corpus, serve http://127.0.0.1:8787
run *ARGS:
    cargo run --release --locked -- up {{ARGS}}

# answers: DATASET is a questions file or one in SQuAD format
eval DATASET="docs-corpus/questions/test.jsonl":
    cargo run --release --locked -- eval answers --dataset {{DATASET}} --json

# retrieval alone: a BEIR folder
eval-retrieval DATASET MODE="hybrid":
    cargo run --release --locked -- eval retrieval --dataset {{DATASET}} --mode {{MODE}} --json

# speed of embedding, search and ingestion on this machine
bench:
    cargo run --release --locked -- bench embed --length 128 --batch 32 --json
    cargo run --release --locked -- bench search --chunks 10000 --json
    cargo run --release --locked -- bench ingest docs-corpus/documents --json
