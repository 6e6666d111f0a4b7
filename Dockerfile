# The README's first command in a container: docker build -t m2pt-bench . && docker run --rm m2pt-bench
# Results are kept in a volume:
#   docker run --rm -v m2pt:/work/mine m2pt-bench run --matrix quick --results mine
# or in a folder of this machine, which is made first, by who runs it:
#   mkdir -p mine && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/mine:/work/mine" m2pt-bench run --matrix quick --results mine
# A GPU is passed on with --gpus all; processes that read official data share memory: --shm-size 8g.
FROM python:3.11-slim
# git: every record names the commit that computed it, also under a user to whom /work does not belong
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /work
# a volume takes the owner of the folder that it is put in the place of
RUN useradd --create-home --uid 1000 bench && install -d -o bench /work /work/mine
USER bench
WORKDIR /work
COPY --chown=bench . .
RUN python3 -m venv .venv && .venv/bin/pip install -q --no-cache-dir -c constraints.txt -e '.[run]'
ENTRYPOINT ["/work/.venv/bin/benchmark"]
CMD ["run", "--matrix", "smoke"]
