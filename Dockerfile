# The gateway in one image: the entry point runs any `gateway` command. Not built yet; see docs/how-to/deploy.md.
# 3.11 is what the tests run on.
FROM python:3.11.14-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
# What we depend on first: it changes more rarely than our own code.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-dev --extra tracing --no-install-project
COPY schemas schemas
COPY runtime runtime
COPY bridge bridge
COPY streams streams
COPY api api
COPY migrations migrations
COPY gateway gateway
RUN uv sync --locked --no-dev --extra tracing --no-editable

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gateway
COPY --from=build /build/.venv /build/.venv
ENV PATH=/build/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /
# The processes take SIGTERM as the word to drain; as the first of the container they get it themselves.
STOPSIGNAL SIGTERM
ENTRYPOINT ["gateway"]
CMD ["--help"]
