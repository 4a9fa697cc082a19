# One image for all processes: the entry point runs any `gateway` command. See docs/how-to/deploy.md.
# The tests run on 3.11.
FROM python:3.11.14-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
# Dependencies come first, so that a change of the code keeps their layer.
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
# On SIGTERM a process drains and stops. It is PID 1, so it gets the signal itself.
STOPSIGNAL SIGTERM
ENTRYPOINT ["gateway"]
CMD ["--help"]
