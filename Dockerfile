# The README's first command in a container: docker build -t m2pt-bench . && docker run --rm m2pt-bench run --matrix smoke
# Results are kept with: -v "$PWD/mine:/work/mine" and `--results mine`. A GPU is passed on with --gpus all.
FROM python:3.11-slim
# git: every record names the commit that computed it
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 bench && install -d -o bench /work
USER bench
WORKDIR /work
COPY --chown=bench . .
RUN python3 -m venv .venv && .venv/bin/pip install -q --no-cache-dir -c constraints.txt -e '.[run]'
ENTRYPOINT ["/work/.venv/bin/benchmark"]
CMD ["run", "--matrix", "smoke"]
