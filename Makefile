# Everything here needs python3 (3.11 or newer) and make; the rest is installed into .venv.
PYTHON ?= python3
PORT ?= 8000

VENV := .venv
BIN := $(VENV)/bin
UV := .venv-lock/bin/uv
LOCKED := $(VENV)/.lock-installed
INSTALLED := $(VENV)/.lib-installed
INPUTS := _build/book-inputs
ASSIGNMENTS := $(patsubst %/hidden.py,%,$(wildcard assignments/*/hidden.py))
SITE := _build/html/.complete
HTML := _build/html/index.html

# A reader's own settings must not reach the tests or the figures.
unexport PYTHONPATH PYTHONHOME MPLBACKEND
export PYTHONNOUSERSITE = 1

.DEFAULT_GOAL := help
.PHONY: help book links links-outside test-site colab colab-image citation release pdf release-check bench-book bench-site \
  serve test test-double test-floors test-newest bench attack pretrain experiments lint format lock clean distclean venv python-is-new FORCE

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

# --- environment -------------------------------------------------------------------------------

venv: $(INSTALLED) ## create .venv with the locked packages, the library and the command coursework

python-is-new:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "error: $(PYTHON) was not found; name a Python 3.11 or newer: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1);" >&2; \
	  echo "name another one: make PYTHON=python3.12 ..." >&2; exit 1; }

# The stamp is a copy of the lock that was installed: contents count, not dates. Each time from an
# empty environment, so that nothing outside the lock is ever in it.
$(LOCKED): FORCE | python-is-new
	@cmp -s requirements.lock $@ || { set -e; \
	  echo "[.venv] installing requirements.lock, which takes some minutes"; \
	  cp requirements.lock .venv-requested; \
	  $(PYTHON) -m venv --clear $(VENV); \
	  $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r .venv-requested; \
	  mv .venv-requested $@; }

$(INSTALLED): $(LOCKED) lib/pyproject.toml lib/coursework/pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation \
	  -e ./lib -e ./lib/coursework
	@touch $@

$(UV): | python-is-new
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv

lock: $(UV) ## write requirements.lock anew from requirements.txt
	$(UV) pip compile --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --quiet --output-file requirements.lock requirements.txt

# --- book --------------------------------------------------------------------------------------

book: $(SITE) ## run every chapter and write _build/html; warnings are errors
	@echo "[book] $(CURDIR)/$(HTML)"

# Checksums of all that the pages are made of: contents count, not dates, and so does a deleted file.
# So do the settings from which every address follows (book/_ext/bookext/repository.py).
$(INPUTS): FORCE
	@mkdir -p _build
	@find Makefile _config.yml _toc.yml requirements.lock README.md CHANGELOG.md CITATION.cff lib/pyproject.toml \
	  book lib/prompt_attention assignments lib/coursework/coursework -type f ! -path '*/__pycache__/*' ! -path '*/.*' \
	  ! -path '*/tests/*' ! -path 'book/assignments/*' -exec cksum {} + | LC_ALL=C sort > $@.new
	@echo "addresses: $(BOOK_REPOSITORY) $(GITHUB_REPOSITORY) $(BOOK_BASE_URL)" >> $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# From clean output folders: a build that failed on a warning would pass when merely continued.
# What the chapters computed is kept in _build/.jupyter_cache and is used again while it is valid.
$(SITE): $(INPUTS) $(INSTALLED)
	@rm -rf _build/html _build/.doctrees
	$(BIN)/jupyter-book build book --config _config.yml --toc "$(CURDIR)/_toc.yml" --path-output . \
	  -W -n --keep-going
	$(BIN)/coursework scan _build/html $(ASSIGNMENTS) $(addprefix --public ,$(wildcard book/*.*) lib/prompt_attention)
	@touch $@

links: book ## resolve every link and button of the built site, and compare its notebooks with the pages
	$(BIN)/python -m pytest book/checks -n 2 --junitxml=_build/tests/links.xml

test-site: book ## open every page in a browser: accessibility, search, keyboard, figures; lint the workflows; needs Chromium
	@site/with-browser node --test --test-concurrency=1 --test-reporter=spec site/*.test.mjs

bench-site: book ## size and time to ready of every page, or PAGES, beside the stock theme's; needs Chromium
	$(BIN)/python site/stock.py
	@SITE_BROWSER=required site/with-browser node site/bench.mjs _build/stock/_build/html $(PAGES)

links-outside: book ## ask every address outside the site whether it is there; needs the network
	$(BIN)/jupyter-book build book --config _config.yml --toc "$(CURDIR)/_toc.yml" \
	  --path-output _build/outside --builder linkcheck

colab: book ## run every notebook as Colab would, in both of its environments; needs bubblewrap
	$(BIN)/python colab/simulate.py
	$(BIN)/python -m pytest colab/tests

colab-image: book ## run every notebook in Colab's public image; needs docker and the network
	$(BIN)/python colab/simulate.py --image

citation: $(INSTALLED) ## write the addresses that follow from _config.yml into CITATION.cff and README.md
	PYTHONPATH=book/_ext $(BIN)/python -m bookext.citation

release: book ## make wheel, source distribution and archives of site and notebooks in _build/release
	$(BIN)/python publish/release.py $(if $(TAG),--tag $(TAG))

pdf: book ## print the whole book to one file in _build/release; needs Chromium
	@mkdir -p _build/release
	@SITE_BROWSER=required site/with-browser node site/print.mjs \
	  "_build/release/book-$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' lib/prompt_attention/__init__.py).pdf"

release-check: links ## rehearse a release: build all parts, try them in clean environments
	$(BIN)/python publish/release.py --check

bench-book: book ## time every page, cold and warm, and the whole book; PAGES="data models" for some
	@PYTHONPATH=book/_ext $(BIN)/python -m bookext.reading_time $(PAGES)

serve: book ## build the book and show it on this machine only
	@echo "[serve] http://127.0.0.1:$(PORT)/  (Ctrl-C ends it)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

# --- tests -------------------------------------------------------------------------------------

lint: $(INSTALLED) ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED) ## apply style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint ## lint, the library's tests with shapes and types checked, the assignments, the tests of the book
	@rm -rf _build/tests
	$(BIN)/python -m pytest lib assignments bench --doctest-modules --jaxtyping-packages=prompt_attention,beartype.beartype \
	  -m "not attack" -n 2 --junitxml=_build/tests/library.xml
	$(BIN)/python -m pytest book/tests --junitxml=_build/tests/book.xml

test-double: $(INSTALLED) ## the library's tests with double precision from the start
	JAX_ENABLE_X64=1 $(BIN)/python -m pytest lib/tests --jaxtyping-packages=prompt_attention,beartype.beartype -n 2

test-floors: RESOLUTION = lowest-direct
test-floors: ## the library's tests with the oldest versions that it allows
test-newest: RESOLUTION = highest
test-newest: ## the library's tests with the newest versions that there are

# What a version is about to change may be warned of here.
test-floors test-newest: $(UV)
	$(UV) venv --quiet --clear --python "$$(command -v $(PYTHON))" .venv-versions
	$(UV) pip install --quiet --python .venv-versions --resolution $(RESOLUTION) "./lib[plot,sweeps]" \
	  "pytest>=8.3" "pytest-xdist>=3.6" "beartype>=0.20" "mpmath>=1.3"
	$(UV) pip list --quiet --python .venv-versions
	.venv-versions/bin/python -m pytest lib/tests --override-ini filterwarnings=default \
	  --jaxtyping-packages=prompt_attention,beartype.beartype -n 2

# --- benchmarks --------------------------------------------------------------------------------

# Where pip finds a build of PyTorch for the CPU it takes that one, else one of several gigabytes.
.venv-bench/.installed: requirements.lock bench/requirements.txt lib/pyproject.toml | python-is-new
	@echo "[.venv-bench] installing requirements.lock and PyTorch, which takes some minutes"
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	.venv-bench/bin/python -m pip install --disable-pip-version-check -r bench/requirements.txt
	.venv-bench/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e ./lib
	@touch $@

bench: .venv-bench/.installed ## time the library against PyTorch, NumPy and plain JAX (PARTS=descent: only that)
	.venv-bench/bin/python -m pytest bench
	.venv-bench/bin/python bench/run.py $(PARTS)

attack: $(INSTALLED) ## all attacks on the grader, which `make test` runs ten of; needs bubblewrap
	COURSEWORK_SANDBOX=required $(BIN)/python -m pytest lib/coursework/tests/test_attacks.py -n 2

# --- what is computed once and committed --------------------------------------------------------

pretrain: $(INSTALLED) ## train the vision transformer anew and write its weights (minutes)
	$(BIN)/python experiments/pretrain.py

# Runs take seconds, and so does compiling them: so the compiler takes less care. Each core has a process of its own.
experiments: $(INSTALLED) ## adapt it in every way and write the records (half an hour on two cores)
	XLA_FLAGS="--xla_backend_optimization_level=1 --xla_cpu_multi_thread_eigen=false" $(BIN)/python experiments/adapt.py

# --- cleaning ----------------------------------------------------------------------------------

clean: ## delete the built book and what its chapters computed
	rm -rf _build

distclean: clean ## delete the environments too
	rm -rf .venv .venv-lock .venv-versions .venv-bench .venv-requested site/node_modules
