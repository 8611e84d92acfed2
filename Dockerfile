# Maju with a Postgres in another container (compose.yaml): the binary has the client inside, and no
# Postgres.
FROM node:22-bookworm-slim AS node

FROM rust:1.95-slim-bookworm AS build
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/root/.npm \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --no-default-features && cp target/release/maju /usr/local/bin/maju

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin maju
COPY --from=build /usr/local/bin/maju /usr/local/bin/maju
COPY LICENSE /usr/share/doc/maju/LICENSE
USER 10001
ENV MAJU_LISTEN=0.0.0.0:8080 MAJU_LOG=json
EXPOSE 8080
STOPSIGNAL SIGTERM
# The image has no curl, so bash sends the request.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["maju"]
CMD ["serve"]
