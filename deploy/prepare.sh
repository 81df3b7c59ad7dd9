# Sourced by deploy/quickstart and tests/run, which work from the top of the tree: what both need of the machine.

# sudo and su leave them out of the path on some machines.
PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 2; }

is_root() { [ "$(id -u)" = 0 ]; }

# install_missing PROGRAM PACKAGES …: by apt, the packages whose program is not there.
install_missing() {
  local packages=()
  while [ $# -gt 0 ]; do
    # Several packages can stand in one word.
    # shellcheck disable=SC2206
    command -v "$1" >/dev/null || packages+=($2)
    shift 2
  done
  [ ${#packages[@]} -gt 0 ] || return 0
  mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
  command -v apt-get >/dev/null || die "install these first, there is no apt-get here: ${packages[*]}"
  say "installing ${packages[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

# Finds the cargo of root, or of who called sudo; what is built is then given to the owner of the tree.
find_cargo() {
  local home
  if ! command -v cargo >/dev/null; then
    for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
      [ -x "$home/.cargo/bin/cargo" ] || continue
      export PATH=$home/.cargo/bin:$PATH RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
      break
    done
  fi
  command -v cargo >/dev/null || die "there is no Rust here, neither for root nor for ${SUDO_USER:-the caller}; get it from https://rustup.rs"
  local wanted have
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
  have=$(cargo --version | cut -d' ' -f2)
  printf '%s\n' "$wanted" "$have" | sort -CV || die "Rust $wanted or newer is needed, here is $have: run rustup update"
}

target=${CARGO_TARGET_DIR:-target}

# Whoever cloned the tree can build in it afterwards, without root.
give_back() {
  if is_root && [ -z "${CARGO_TARGET_DIR:-}" ] && [ -d target ]; then chown -R --reference=Cargo.toml target; fi
}
