# docker build --target cuda --tag vidsemi .       (GPUs; runs on CPUs too)
# docker build --target cpu --tag vidsemi:cpu --build-arg TORCH_INDEX=ADDRESS .    (smaller, without CUDA's libraries;
#     ADDRESS is the index of torch's CPU wheels, as torch's installation page names it)
# docker run --gpus all --ipc=host --volume "$PWD":/work vidsemi run --cfg demo.yaml output=/work/runs/demo
# Not built in this project's tests, which run without Docker.

FROM python:3.11-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make g++ libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/vidsemi
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY vidsemi vidsemi
COPY configs configs
COPY datasets datasets

FROM base AS cpu
ARG TORCH_INDEX
RUN test -n "$TORCH_INDEX" \
    && pip install --index-url "$TORCH_INDEX" --constraint constraints.txt torch torchvision \
    && pip install --constraint constraints.txt '.[export,tensorboard,timm]'
WORKDIR /work
ENTRYPOINT ["vidsemi"]
CMD ["--help"]

# torch's own wheels bring CUDA's libraries; the machine needs NVIDIA's driver and container toolkit only.
FROM base AS cuda
RUN pip install --constraint constraints.txt '.[export,tensorboard,timm]'
WORKDIR /work
ENTRYPOINT ["vidsemi"]
CMD ["--help"]
