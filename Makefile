# Only Python 3.11 or newer is needed; each target installs the rest.
# uv comes from the PATH; if it is missing, pip installs it into .venv-uv.
UV := $(shell command -v uv 2>/dev/null || echo .venv-uv/bin/uv)
# Each pytest process starts its own servers. Tests that measure times or kill whole systems run alone.
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile

.PHONY: demo check test faults docs audit sbom screenshots lint install certs

demo: install
	$(UV) run gateway demo

# The quick checks, for every commit. pytest ends each run with its skipped tests and their reasons (option -ra).
check: lint
	$(UV) run pytest tests/unit tests/repo tests/contract $(PARALLEL)

# All tests. HYPOTHESIS_PROFILE=search tries new examples instead of the same ones.
test: check
	$(UV) run pytest tests/integration $(PARALLEL)
	$(UV) run pytest --ignore=tests/unit --ignore=tests/repo --ignore=tests/contract --ignore=tests/integration

# Every fault many times, each with its own ledger: about 25 minutes.
faults: install
	$(UV) run pytest tests/faults --faults-full --faults-report=faults.md

# Certificates and passwords for compose.yaml. HOSTS="mqtt.example.org …" names the addresses of the MQTT broker.
certs: install
	$(UV) run gateway certs make $(foreach name,$(HOSTS),--host $(name))

# The generated documents. Each is written to a temporary file first, so that a failure keeps the old document.
docs: install
	$(UV) run gateway openapi > docs/reference/backend-api.yaml.new && mv docs/reference/backend-api.yaml.new docs/reference/backend-api.yaml
	$(UV) run gateway asyncapi > docs/reference/asyncapi.yaml.new && mv docs/reference/asyncapi.yaml.new docs/reference/asyncapi.yaml
	$(UV) run python -m tools.licences > docs/reference/licences.md.new && mv docs/reference/licences.md.new docs/reference/licences.md

# Known vulnerabilities of the packages; needs the internet. See docs/reference/supply-chain.md.
audit: install
	$(UV) export --locked --all-extras --no-dev --no-emit-project --quiet > .audit-requirements.txt
	$(UV) tool run pip-audit@2.10.1 --strict --require-hashes --disable-pip -r .audit-requirements.txt

# A bill of materials (CycloneDX).
sbom: install
	$(UV) run python -m tools.sbom > sbom.json.new && mv sbom.json.new sbom.json

# The images in docs/images, from a running system; needs Chromium.
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
