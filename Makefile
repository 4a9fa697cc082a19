# Everything installs itself: Python 3.11 or newer is all that is assumed.
# uv is taken from the PATH, or brought by pip into .venv-uv.
UV := $(shell command -v uv 2>/dev/null || echo .venv-uv/bin/uv)
# Each process has servers of its own; what times or kills whole systems has the machine to itself.
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile

.PHONY: demo test faults docs audit sbom screenshots lint install certs

demo: install
	$(UV) run gateway demo

# HYPOTHESIS_PROFILE=search looks for new examples instead of trying the same again.
test: lint
	$(UV) run pytest tests/unit tests/repo tests/contract $(PARALLEL)
	$(UV) run pytest tests/integration $(PARALLEL)
	$(UV) run pytest --ignore=tests/unit --ignore=tests/repo --ignore=tests/contract --ignore=tests/integration

# Every fault many times, each with its own books: about 25 minutes.
faults: install
	$(UV) run pytest tests/faults --faults-full --faults-report=faults.md

# What compose.yaml needs before its first start; HOSTS="mqtt.example.org …" are the names under which VENs reach the broker.
certs: install
	$(UV) run gateway certs make $(foreach name,$(HOSTS),--host $(name))

# What is written from the code. Beside its place at first, so that what fails leaves the document that was there.
docs: install
	$(UV) run gateway openapi > docs/reference/backend-api.yaml.new && mv docs/reference/backend-api.yaml.new docs/reference/backend-api.yaml
	$(UV) run gateway asyncapi > docs/reference/asyncapi.yaml.new && mv docs/reference/asyncapi.yaml.new docs/reference/asyncapi.yaml
	$(UV) run python -m tools.licences > docs/reference/licences.md.new && mv docs/reference/licences.md.new docs/reference/licences.md

# Known vulnerabilities of what is installed; needs the internet. See docs/reference/supply-chain.md.
audit: install
	$(UV) export --locked --all-extras --no-dev --no-emit-project --quiet > .audit-requirements.txt
	$(UV) tool run pip-audit@2.10.1 --strict --require-hashes --disable-pip -r .audit-requirements.txt

# A bill of materials (CycloneDX).
sbom: install
	$(UV) run python -m tools.sbom > sbom.json.new && mv sbom.json.new sbom.json

# The pictures of docs/images, of a running system; needs Chromium.
screenshots: install
	$(UV) run python -m tests.page.screenshots

lint: install
	$(UV) run ruff check .
	$(UV) run ruff format --check .
	$(UV) run mypy
	$(UV) run lint-imports

install: $(UV)
	$(UV) sync --locked --compile-bytecode

.venv-uv/bin/uv:
	@python3 -m venv .venv-uv && .venv-uv/bin/pip install --quiet uv || \
		{ echo "uv is missing and pip could not install it; install it as https://docs.astral.sh/uv says"; exit 1; }
