# The build stage installs exactly what requirements.txt pins, by hash, and this project itself; the runtime stage takes
# the finished environment and nothing else. No key enters either: they come with `docker run --env-file`.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.txt ./
# setuptools first, by its hash: a package without a wheel is built with that one, never with the newest of the day.
RUN python -m venv /opt/orchestrator \
    && sed -n '/^setuptools==/,/[^\\]$/p' requirements.txt > setuptools.txt \
    && /opt/orchestrator/bin/pip install --no-cache-dir --require-hashes --no-deps -r setuptools.txt \
    && /opt/orchestrator/bin/pip install --no-cache-dir --require-hashes --no-deps --no-build-isolation -r requirements.txt
COPY pyproject.toml README.md ./
COPY orchestrator ./orchestrator
RUN /opt/orchestrator/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="orchestrator" \
      org.opencontainers.image.description="Runs Cekura manual-flow tests against Pipecat agents, as a command or a service"
RUN groupadd --gid 10001 orchestrator \
    && useradd --uid 10001 --gid 10001 --create-home orchestrator \
    && install --directory --owner=10001 --group=10001 /state
COPY --from=build /opt/orchestrator /opt/orchestrator
ENV PATH="/opt/orchestrator/bin:$PATH" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
# State lives under the working directory.
WORKDIR /state
VOLUME /state
# `serve` listens on the container's own loopback; `serve --host 0.0.0.0` lets others in, and needs a token for that.
EXPOSE 8080
# Only `serve` has a health to ask for, and it lives at the default port; else see --health-cmd.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ! grep --quiet --null-data --line-regexp serve /proc/1/cmdline || orchestrator health
ENTRYPOINT ["orchestrator"]
CMD ["--help"]
