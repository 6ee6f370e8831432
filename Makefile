# Short names for what one does most. Meson and ninja do the work: meson setup build && ninja -C build

.PHONY: all demo check bench fuzz clean

all: build/build.ninja
	ninja -C build

build/build.ninja:
	meson setup build

demo: all
	scripts/demo

check:
	scripts/run-tests

bench: all
	bench/run

# Each target for a while (FUZZ_TIME seconds); what it finds is in build-fuzz/findings.
fuzz:
	scripts/fuzz

clean:
	rm -rf build build-sanitize build-fuzz
