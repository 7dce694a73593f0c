#!/bin/sh
# install.sh STEP [ARGUMENTS] - the installation steps of a Tesseract image.
# Runs inside image builds from the build context, which is mounted at /run/tesseract; nothing of it is in a layer.
#
#   environment [--python X] [--inherit]      /python-env with what every Tesseract needs
#   conda FILE                  the same, made by conda from an environment file
#   runtime                     the Tesseract runtime, the directories and the default user
#   packages NAME...            Debian packages
#   requirements [--git] FILE   what the project needs
set -eu

context=/run/tesseract
env=/python-env
python=$env/bin/python

fail() { echo "tesseract: $*" >&2; exit 1; }

# Settings that the base image brings for uv would send it to another interpreter or index.
unset UV_PYTHON UV_PROJECT_ENVIRONMENT
export UV_SYSTEM_PYTHON=0 UV_BREAK_SYSTEM_PACKAGES=0 UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_CACHE_DIR=/root/.cache/uv
# The host's settings are there only where a build passed them on.
if [ ! -e "${UV_CONFIG_FILE:-/}" ] || [ "${UV_CONFIG_FILE:-/}" = / ]; then unset UV_CONFIG_FILE; export UV_NO_CONFIG=1; fi
for name in SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO PIP_CONFIG_FILE; do
  eval "value=\${$name:-}"
  [ -e "$value" ] || unset "$name"
done
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
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "the base image has $(python3 --version), but Python 3.11 or newer is needed:" \
      "set build_config.requirements.python_version, for example to \"3.12\""
  compile_stdlib python3
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
    --inherit) inherit=--system-site-packages; shift ;;
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
  uv venv --allow-existing $inherit --python "$interpreter" $env
  common_packages
}

common_packages() {
  install --constraint $context/constraints.txt --requirement $context/runtime_requirements.txt pip
  prune
}

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
  if [ "$1" = --git ]; then shift; fetch_from_git=1; fi
  credentials
  if [ -n "${fetch_from_git:-}" ]; then version_control; fi
  # A copy, because building a local package writes into its folder.
  work=/tmp/requirements
  mkdir -p $work
  cp -r "$context/$1" $context/local_requirements $work/
  cd $work
  case $1 in
  pylock*) install --requirement "$1" ;;
  # The runtime's own needs are part of the resolution; the override is the only tesseract-core there is.
  *) install --override $context/overrides.txt --requirement "$1" "tesseract-runtime==$(runtime_version)" ;;
  esac
  cd /
  rm -rf $work
  displace
  without_programs
}

runtime_version() { sed -n 's/^tesseract-runtime==//p' $context/tesseract-constraints.txt; }

# A lock file may have brought another tesseract-core: ours goes over it.
displace() {
  $python -c 'import sys; from importlib.metadata import version; sys.exit(version("tesseract-core") != sys.argv[1])' \
    "$(runtime_version)" || install --no-deps --reinstall $context/__tesseract_runtime__/*.whl
}

step_conda() {
  credentials
  conda=$(command -v conda || :)
  if [ -n "$conda" ]; then version_control; else version_control curl ca-certificates; fi
  if [ -z "$conda" ]; then
    # Miniforge lives in a cache mount: it is not part of the image.
    conda=/root/.cache/miniforge/bin/conda
    if [ ! -x $conda ]; then
      curl -fsSL -o /tmp/miniforge.sh \
        "https://github.com/conda-forge/miniforge/releases/latest/download/Miniforge3-Linux-$(uname -m).sh"
      sh /tmp/miniforge.sh -b -f -p /root/.cache/miniforge
      rm /tmp/miniforge.sh
    fi
  fi
  work=/tmp/requirements
  mkdir -p $work
  cp -r "$context/$1" $context/local_requirements $work/
  cd $work
  CONDA_PKGS_DIRS=/root/.cache/conda-packages "$conda" env create --yes --quiet --prefix $env --file "$1"
  cd /
  rm -rf $work
  without_programs
  common_packages
}

version_control() {
  command -v git >/dev/null && command -v ssh >/dev/null && [ $# = 0 ] || with_programs git openssh-client "$@"
  if [ -n "${SSH_AUTH_SOCK:-}" ]; then
    ssh-keyscan github.com >/tmp/known_hosts 2>/dev/null || :
    export GIT_SSH_COMMAND='ssh -o UserKnownHostsFile=/tmp/known_hosts -o StrictHostKeyChecking=accept-new'
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
python_any() { if [ -x $python ]; then $python "$@"; else python3 "$@"; fi; }

step=$1
shift
"step_$step" "$@"
