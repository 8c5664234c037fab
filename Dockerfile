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
ENTRYPOINT ["orchestrator"]
CMD ["--help"]
