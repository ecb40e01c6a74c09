# syntax=docker/dockerfile:1
# The node for NVIDIA cards: no Python, no compiler, weights on a volume. How to run it: docs/deploy-runpod.md

FROM node:22-bookworm-slim AS node

# Builds as `npm run build:cuda` does on a machine without a CUDA toolkit.
FROM rust:1.95.0-bookworm AS build
# 90 is Hopper, 89 Ada (L4, L40S, RTX 4090), 80 A100, 86 A40 and RTX 3090, 120 RTX 5090.
ARG CAPABILITY=90
# The image's own toolchain, without what only development needs.
ENV RUSTUP_TOOLCHAIN=1.95.0 CHANDELLE_CACHE=/tools CARGO_TERM_PROGRESS_WHEN=never
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-pip \
 && rm -rf /var/lib/apt/lists/*
COPY --from=node /usr/local/bin/node /usr/local/bin/node
WORKDIR /src
COPY . .
# Copied files keep their times, and what was compiled last may be younger than a change that it does not have.
RUN find shared gpu-node -name '*.rs' -exec touch {} +
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    --mount=type=cache,target=/tools \
    node scripts/build-cuda.mjs --capability "$CAPABILITY" \
 && strip -o /gpu-node target/x86_64-unknown-linux-gnu/release/gpu-node

# The three libraries that the node opens on a card, from NVIDIA's own wheels; the driver itself comes with the machine.
FROM python:3.13-slim-bookworm AS libraries
RUN pip install --no-cache-dir --no-deps --only-binary=:all: --target /wheels \
      nvidia-cublas==13.0.2.14 nvidia-curand==10.4.0.35 \
 && mkdir /libraries \
 && mv /wheels/nvidia/cu13/lib/libcublas.so.13 \
       /wheels/nvidia/cu13/lib/libcublasLt.so.13 \
       /wheels/nvidia/cu13/lib/libcurand.so.10 /libraries/ \
 && cp /wheels/nvidia_cublas-*.dist-info/licenses/License.txt /libraries/NVIDIA-LICENSE.txt

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --uid 10001 --create-home --shell /bin/bash chandelle \
 && install --directory --owner=chandelle --group=chandelle /workspace
COPY --from=libraries /libraries /opt/nvidia
COPY --from=build /gpu-node /usr/local/bin/gpu-node
COPY models /opt/chandelle/models
COPY LICENSE /opt/chandelle/LICENSE

# The container toolkit puts the driver's libraries into the container when these two are set.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LD_LIBRARY_PATH=/opt/nvidia \
    MODELS_DIR=/opt/chandelle/models \
    HF_HOME=/workspace/huggingface \
    CHANDELLE_HOST=0.0.0.0 \
    CHANDELLE_PORT=8000 \
    LOG_FORMAT=json
USER chandelle
WORKDIR /home/chandelle
VOLUME /workspace
EXPOSE 8000
# Alive is not ready: a node that is still pulling or loading must not be killed for it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${CHANDELLE_PORT} && printf 'GET /health/live HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && IFS= read -r -t 4 line <&3 && [[ $line == *' 200 '* ]]"]
# A running job has DRAIN_TIMEOUT_S (30) and its result DRAIN_LINGER_S (5): give `docker stop` at least --time 40.
STOPSIGNAL SIGTERM
ENTRYPOINT ["gpu-node"]
CMD ["serve"]
