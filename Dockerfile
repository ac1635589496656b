# syntax=docker/dockerfile:1

# The proxy as a container:
#
#   docker build -t portcullis .
#   docker run -p 6432:6432 -v ./portcullis.toml:/etc/portcullis/portcullis.toml:ro portcullis
#
# In a container the proxy must listen on 0.0.0.0:6432, and the operators' endpoints on 0.0.0.0:9187, to be
# reached from outside of it. Kubernetes probes GET /live and GET /ready on port 9187; where nothing but
# Docker watches the container, the same check without any tool in the image is
#
#   HEALTHCHECK CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9187 && printf 'GET /live HTTP/1.1\r\nHost: x\r\n\r\n' >&3 && grep -q '200 OK' <&3"]
#
# It is not switched on here, as [admin] is optional.

# The same Debian release as below, so that the binary finds the glibc it was linked to.
FROM rust:1.95-slim-bookworm AS build
# What the proxy serves while it is profiled: it is built twice (bench/optimize.py), which takes some 15 minutes on two
# cores and saves a quarter of its instructions.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssl postgresql python3 \
    && rm -rf /var/lib/apt/lists/* \
    && rustup component add llvm-tools
WORKDIR /src
COPY . .
# The caches outlive the build, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    python3 bench/optimize.py \
    && install -D target/optimized/portcullis /out/portcullis

FROM debian:bookworm-slim
# Authorities for fetching key sets over HTTPS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/portcullis /usr/local/bin/portcullis
COPY LICENSE /usr/share/doc/portcullis/LICENSE
# A number, so that Kubernetes' runAsNonRoot can tell that it is not root. The proxy writes no files.
USER 10001:10001
EXPOSE 6432 9187
# SIGTERM drains: no new clients, running transactions end. Give it a stop timeout that fits them.
STOPSIGNAL SIGTERM
ENTRYPOINT ["portcullis", "serve", "--config", "/etc/portcullis/portcullis.toml"]
