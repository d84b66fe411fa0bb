# syntax=docker/dockerfile:1
# Vestibule as a container: one binary on an image with glibc, without a shell, not run as root.
#
#   docker build -t vestibule .
#   docker run -p 443:8443 -v ./config:/etc/vestibule:ro -v vestibule:/var/lib/vestibule vestibule
#
# The configuration is /etc/vestibule/vestibule.toml. data_dir is /var/lib/vestibule and must be
# writable for uid 65532. Ports above 1023 need no privilege: listen on 8443 and publish it as 443.

FROM rust:1.95-slim-bookworm AS build
# gcc and libc6-dev build ring, SQLite, zstd and mimalloc, which are C. cmake and make build zlib-ng, a
# dependency of Pingora. The build needs no OpenSSL, perl, clang or pkg-config.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev cmake make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# Dependencies are built in a layer of their own, so a change to the source does not rebuild them. The
# manifest names the benches, so empty files replace them here; fuzz is a member of the workspace.
COPY Cargo.toml Cargo.lock ./
COPY fuzz fuzz
RUN mkdir -p src benches/tools/load \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs \
    && for bench in decision request tools/bare_pingora tools/load/main; do \
        cp src/main.rs "benches/$bench.rs"; \
    done \
    && cargo build --profile dist --locked \
    && rm -rf src benches
COPY . .
# Cargo compares modification times, and a copied file may be older than its replacement above.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --profile dist --locked --bin vestibule \
    && install -D -m 0755 target/dist/vestibule /out/usr/local/bin/vestibule \
    && install -d -m 0700 -o 65532 -g 65532 /out/var/lib/vestibule \
    && install -d -m 0755 /out/etc/vestibule

# The image has glibc, libgcc, CA certificates and time zones. Its user nonroot is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/ /
ENV VESTIBULE_CONFIG=/etc/vestibule/vestibule.toml
USER 65532:65532
WORKDIR /var/lib/vestibule
VOLUME ["/var/lib/vestibule"]
# 8443 is for https, 8080 for plain http: redirects, or behind a load balancer.
EXPOSE 8443 8080
# Requests in flight have 30 s to finish after this signal.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/vestibule"]
CMD ["serve"]
