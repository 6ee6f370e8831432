# Short names for what one does most. Meson and ninja do the work: meson setup build && ninja -C build

.PHONY: all packages demo check bench fuzz clean

all: build/build.ninja
	ninja -C build

build/build.ninja:
	meson setup build

# What is missing of Debian's packages; nothing, and without root, when all are there.
packages:
	@scripts/install-packages

demo: packages
	$(MAKE) --no-print-directory all
	scripts/demo

check: packages
	scripts/run-tests

bench: packages
	$(MAKE) --no-print-directory all
	bench/run
	bench/restore
	bench/clones
	bench/snapshot
	bench/migrate

# Each target for a while (FUZZ_TIME seconds); what it finds is in build-fuzz/findings.
fuzz:
	scripts/fuzz

clean:
	rm -rf build build-sanitize build-fuzz
