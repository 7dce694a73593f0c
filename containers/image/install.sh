#!/bin/sh
# install.sh STEP [ARGUMENTS] - the installation steps of a Tesseract image.
# Runs inside image builds from the build context, which is mounted at /run/tesseract; nothing of it is in a layer.
#
#   environment [--python X] [--inherit]      /python-env with what every Tesseract needs
#   conda [--git] FILE          the same, made by conda from an environment file
#   runtime                     the Tesseract runtime, the directories and the default user
#   packages NAME...            Debian packages
#   requirements [--git] FILE   what the project needs
set -eu

context=/run/tesseract
env=/python-env
python=$env/bin/python
work=/tmp/requirements
inherited=tesseract-base-image.pth
conda=

fail() { echo "tesseract: $*" >&2; exit 1; }

# What the base image sets for its own tools would send ours to other interpreters, indexes, versions and places.
# PYTHONPATH is kept for the one case that wants the base image's packages.
base_pythonpath=${PYTHONPATH:-} base_bundle=${SSL_CERT_FILE:-${REQUESTS_CA_BUNDLE:-}}
for name in $(env | sed -nE 's/^((PIP_|UV_|PYTHON|GIT_|XDG_|SSL_CERT_)[A-Z0-9_]*|[A-Z]+_CA_BUNDLE|VIRTUAL_ENV|TMPDIR|NETRC)=.*/\1/p'); do
  unset "$name"
done
export HOME=/root # a build's cache mount is there; the base image's may be a place that stays
export UV_SYSTEM_PYTHON=0 UV_BREAK_SYSTEM_PACKAGES=0 UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_CACHE_DIR=/root/.cache/uv
# The host's settings, where a build passes them on, beat the base image's.
host=/run/secrets
bundle=$host/tesseract-ca
[ -e $bundle ] || bundle=$base_bundle
if [ -n "$bundle" ] && [ -e "$bundle" ]; then
  # pip reads the second one.
  export SSL_CERT_FILE="$bundle" REQUESTS_CA_BUNDLE="$bundle" CURL_CA_BUNDLE="$bundle" GIT_SSL_CAINFO="$bundle"
fi
if [ -e $host/tesseract-pip ]; then export PIP_CONFIG_FILE=$host/tesseract-pip; fi
if [ -e $host/tesseract-uv ]; then export UV_CONFIG_FILE=$host/tesseract-uv; else export UV_NO_CONFIG=1; fi
[ ! -e $context/build_env.sh ] || . $context/build_env.sh

uv() { "$context/uv" "$@"; }
install() { uv pip install --python $python --compile-bytecode "$@"; }

apt_install() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/cache/debconf/*-old /var/log/*.log /var/log/apt
}

# Programs that only this step needs: installed before it, and removed again with all that came along.
with_programs() {
  dpkg-query -W -f '${Package}\n' | sort >/tmp/packages-before
  apt_install "$@"
}
without_programs() {
  [ -e /tmp/packages-before ] || return 0
  dpkg-query -W -f '${Package}\n' | sort | comm -13 /tmp/packages-before - |
    DEBIAN_FRONTEND=noninteractive xargs -r dpkg --purge >/dev/null 2>&1
  rm -rf /tmp/packages-before /var/log/apt /var/log/dpkg.log
}

# The base image's Python, installed where there is none.
system_python() {
  missing=
  command -v python3 >/dev/null || missing=python3
  [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e "${SSL_CERT_FILE:-/nonexistent}" ] || missing="$missing ca-certificates"
  [ -z "$missing" ] || apt_install $missing
  new_enough python3 "the base image has" "set build_config.requirements.python_version, for example to \"3.12\""
  compile_stdlib python3
}

new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$2 $("$1" --version), but Python 3.11 or newer is needed: $3"
}

# Containers run as users that cannot write bytecode: without it every start would compile what it imports.
compile_stdlib() {
  stdlib=$("$1" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
  "$1" -m compileall -q -x '/(test|tests|lib2to3|idlelib|site-packages|dist-packages)/' "$stdlib" || :
}

step_environment() {
  inherit=
  version=
  while [ $# -gt 0 ]; do case $1 in
    --python) version=$2; shift 2 ;;
    --inherit) inherit=1; shift ;;
    esac; done
  if [ -n "$version" ]; then
    # Inside the environment, so that nothing depends on root's home directory.
    uv python install --no-bin --install-dir $env/interpreter "$version"
    interpreter=$(ls -d $env/interpreter/cpython-*/bin/python3 | head -n 1)
    compile_stdlib "$interpreter"
  else
    system_python
    interpreter=$(command -v python3)
  fi
  if [ -z "$inherit" ]; then uv venv --allow-existing --python "$interpreter" $env
  else inherit_from "$interpreter"; fi
  common_packages
}

# An environment that sees an interpreter's packages. Python's own switch looks through a virtual environment to what
# that was made from, so a line in a file adds its directory.
inherit_from() {
  prefix=$("$1" -c 'import sys; print(sys.prefix if sys.prefix != sys.base_prefix else "")')
  if [ -z "$prefix" ] || grep -qs '^include-system-site-packages = true' "$prefix/pyvenv.cfg"; then
    uv venv --allow-existing --system-site-packages --python "$1" $env
  else
    uv venv --allow-existing --python "$1" $env
  fi
  [ -z "$prefix" ] || printf 'import site; site.addsitedir("%s")\n' "$(site_packages "$1")" \
    >"$(site_packages $python)/$inherited"
}
site_packages() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

common_packages() {
  if inherits; then see_base_image; fi
  # What a conda environment or an inherited base image has keeps its version.
  $python - $context/constraints.txt >/tmp/constraints.txt <<'END'
import re, sys
from importlib.metadata import distributions

present = {re.sub(r"[-_.]+", "-", distribution.name or "").lower() for distribution in distributions()}
print("".join(line for line in open(sys.argv[1]) if line.split("==")[0] not in present))
END
  set -- --constraint /tmp/constraints.txt --requirement $context/runtime_requirements.txt
  if inherits; then install pip; pip_install "$@"; else install "$@" pip; fi
  prune
}

# Packages of an inherited base image count: pip sees them, uv does not.
inherits() {
  grep -qs '^include-system-site-packages = true' $env/pyvenv.cfg || [ -e "$(site_packages $python)/$inherited" ]
}
pip_install() { $python -m pip install --root-user-action ignore --disable-pip-version-check --progress-bar off "$@"; }
see_base_image() { [ -z "$base_pythonpath" ] || export PYTHONPATH="$base_pythonpath"; }

# Test suites of libraries. Data that user code may ask for (cloud services of botocore, locales) stays.
prune() {
  site=$($python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
  [ ! -d "$site/numpy" ] || find "$site/numpy" -type d -name tests -prune -exec rm -rf {} +
}

step_runtime() {
  # pip in custom build steps must not fetch another tesseract-core over our files.
  printf '[global]\nconstraint = %s\n' $env/tesseract-constraints.txt >$env/pip.conf
  cp $context/tesseract-constraints.txt $env/
  install --no-deps --reinstall $context/__tesseract_runtime__/*.whl
  mkdir -p /tesseract/input_data /tesseract/output_data /home/tesseract-user
  cp $context/entrypoint.sh /tesseract/
  chmod 0755 /tesseract/entrypoint.sh
  chmod 1777 /tesseract /tesseract/output_data /home/tesseract-user
  # Any user can run the image; the default one has a name.
  grep -q '^[^:]*:[^:]*:9999:' /etc/group || echo 'tesseract-group:x:9999:' >>/etc/group
  grep -q '^[^:]*:[^:]*:9999:' /etc/passwd ||
    echo 'tesseract-user:x:9999:9999:Tesseract:/home/tesseract-user:/bin/sh' >>/etc/passwd
}

step_packages() { apt_install "$@"; }

step_requirements() {
  dependencies "$@"
  case $file in
  pylock*) install --requirement "$file" ;;
  # The runtime's own needs are part of the resolution; the override is the only tesseract-core there is.
  *) if inherits; then see_base_image; pip_install --requirement "$file" "tesseract-runtime==$version"
    else install --override $context/overrides.txt --requirement "$file" "tesseract-runtime==$version"; fi ;;
  esac
  without_programs
  displace
}

# A lock file may have brought another tesseract-core: ours goes over it.
displace() {
  $python -c 'import sys; from importlib.metadata import version; sys.exit(version("tesseract-core") != sys.argv[1])' \
    "$version" || install --no-deps --reinstall $context/__tesseract_runtime__/*.whl
}

step_conda() {
  conda=$(command -v conda || miniforge)
  dependencies "$@"
  # The pip list of the environment must not fetch another tesseract-core: it finds ours.
  export CONDA_PKGS_DIRS="${CONDA_PKGS_DIRS:-/root/.cache/conda-packages}"
  CONDA_ALWAYS_YES=true CONDA_REGISTER_ENVS=false \
    PIP_CONSTRAINT=$context/tesseract-constraints.txt PIP_FIND_LINKS=$context/__tesseract_runtime__ \
    "$conda" env create --quiet --prefix $env --file "$file"
  [ -x $python ] || fail "$file installs no Python: add it to the dependencies, for example python=3.12"
  new_enough $python "$file installs" "pin it there, for example python=3.12"
  without_programs
  common_packages
}

# Where the base image has no conda. It lives in a cache mount and is not part of the image. Prints the program.
miniforge() {
  url=${MINIFORGE_URL:-https://github.com/conda-forge/miniforge/releases/latest/download/Miniforge3-Linux-$(uname -m).sh}
  home=/root/.cache/miniforge-$(printf %s "$url" | sha256sum | cut -c 1-12)
  (
    flock 9 # another build may be about to install the same
    [ ! -e $home/complete ] || exit 0
    rm -rf $home
    with_programs curl ca-certificates
    curl -fsSL -o /tmp/miniforge.sh "$url" || fail "Miniforge could not be fetched from $url;" \
      "name a mirror by MINIFORGE_URL in build_config.build_env, or a base_image that has conda"
    sh /tmp/miniforge.sh -b -p $home
    rm /tmp/miniforge.sh
    without_programs
    touch $home/complete
  ) 9>/root/.cache/miniforge.lock >&2
  echo $home/bin/conda
}

# Go to a copy of the dependencies, because building a local package writes into its folder, with what it takes to
# fetch them. Sets $file and $version.
dependencies() {
  git=
  if [ "$1" = --git ]; then shift; git=1; fi
  file=$1 version=$(sed -n 's/^tesseract-runtime==//p' $context/tesseract-constraints.txt)
  mkdir -p $work
  cp -r "$context/$file" $context/local_requirements $work/
  cd $work
  credentials
  if [ -n "$git" ]; then version_control; fi
}

version_control() {
  command -v git >/dev/null && command -v ssh >/dev/null || with_programs git openssh-client
  if [ -n "${SSH_AUTH_SOCK:-}" ]; then
    ssh-keyscan github.com >$work/known_hosts 2>/dev/null || :
    export GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh -o UserKnownHostsFile=$work/known_hosts -o StrictHostKeyChecking=accept-new}"
  fi
}

# Logins for private hosts, from secrets: netrc for index and archives, credential store for git. Both on a tmpfs.
credentials() {
  [ -s $context/host_credentials.txt ] || return 0
  umask 077
  store=/run/credentials # a tmpfs
  while read -r host secret username; do
    [ -e "/run/secrets/$secret" ] || continue
    SECRET_FILE=/run/secrets/$secret python_any $context/credentials.py "$host" "$username" $store
  done <$context/host_credentials.txt
  umask 022
  [ -e $store/netrc ] || return 0
  export NETRC=$store/netrc GIT_TERMINAL_PROMPT=0
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=credential.helper GIT_CONFIG_VALUE_0="store --file=$store/git"
}
python_any() {
  for candidate in $python python3 "${conda%/*}/python"; do
    if command -v "$candidate" >/dev/null; then "$candidate" "$@"; return; fi
  done
  fail "there is no Python to read host_credentials with"
}

# Nothing of the installation stays, nor uv's locks, which are open to everybody.
trap 'rm -rf $work /tmp/constraints.txt /tmp/uv-*.lock $env/.lock $env/interpreter/.lock' EXIT
step=$1
shift
"step_$step" "$@"
