"""`tesseract serve`: start a Tesseract and print where it is, as JSON."""

import json
import os
import sys
from typing import Annotated, Any

from cyclopts import Group, Parameter

from tesseract import serving
from tesseract.cli.console import logger
from tesseract.cli.options import ENGINE, NETWORK, ContainerOptions, parse_env, split_words, switch, whole_number
from tesseract.errors import InvalidValue, UsageError
from tesseract.serving import ports
from tesseract.serving.plan import parse_network
from tesseract.serving.requests import DEFAULT_STARTUP_TIMEOUT

SERVER = Group("Server", sort_key=4)
_NO_OPTIONS = ContainerOptions()


def serve(
    image: Annotated[str, Parameter(help="Tesseract image, as `tesseract list` shows it.")],
    /,
    *,
    options: ContainerOptions = _NO_OPTIONS,
    port: Annotated[
        str | None,
        Parameter(
            metavar="PORT",
            name=["--port", "-p"],
            group=NETWORK,
            help="Host port or range (8000-8080); else a free one.",
        ),
    ] = None,
    host_ip: Annotated[
        str,
        Parameter(metavar="IP", group=NETWORK, help="Address that published ports bind to; 0.0.0.0 is all of them."),
    ] = "127.0.0.1",
    network_alias: Annotated[
        str | None,
        Parameter(metavar="NAME", group=NETWORK, help="Name under which others in the network reach it at port 8000."),
    ] = None,
    socket: Annotated[bool, switch(group=NETWORK, help="Listen on a Unix socket that only you can reach.")] = False,
    token: Annotated[
        str | None,
        Parameter(
            metavar="TEXT",
            group=NETWORK,
            help="Bearer token that clients must send; auto makes one [env: TESSERACT_TOKEN].",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        switch(metavar="NAME", group=NETWORK, help="Further Host header to accept, repeatable; * accepts any."),
    ] = None,
    allowed_origin: Annotated[
        list[str] | None,
        switch(
            metavar="ORIGIN", group=NETWORK, help="Web page that may call (https://host:port), repeatable; * is any."
        ),
    ] = None,
    num_workers: Annotated[
        int,
        Parameter(
            metavar="N", converter=whole_number, group=SERVER, help="Server processes, each with a copy of your code."
        ),
    ] = 1,
    startup_timeout: Annotated[
        float, Parameter(metavar="SECONDS", group=SERVER, help="Seconds until it must have answered a health check.")
    ] = DEFAULT_STARTUP_TIMEOUT,
    skip_health_check: Annotated[bool, switch(group=SERVER, help="Return right after the start.")] = False,
    debug: Annotated[
        bool, switch(group=SERVER, help="Tracebacks for clients, a test endpoint and a debugger.")
    ] = False,
    runtime_args: Annotated[
        str | None,
        Parameter(
            metavar="ARGS",
            name=["--engine-args", "--runtime-args"],
            allow_leading_hyphen=True,
            group=ENGINE,
            help="Further arguments for the engine's run command, as one shell-quoted text.",
        ),
    ] = None,
) -> None:
    environment = parse_env(options.env, "Environment variable '{}' must be in the format 'key=value'.")
    try:
        parse_network(options.network, network_alias)
        ports.parse_port(port)
    except InvalidValue as error:
        raise UsageError(str(error)) from error
    served = serving.serve(
        serving.ServeRequest(
            image=image,
            volumes=options.volume,
            environment=environment,
            gpus=options.gpus,
            network=options.network,
            user=options.user,
            userns=options.userns,
            memory=options.memory,
            shm_size=options.shm_size,
            input_path=options.input_path,
            output_path=options.output_path,
            output_format=options.output_format,
            debug=debug,
            debugger=debug,
            read_only_root=options.read_only,
            engine_args=split_words("--runtime-args", runtime_args),
            host_ip=host_ip,
            port=port,
            network_alias=network_alias,
            num_workers=num_workers,
            skip_health_check=skip_health_check,
            startup_timeout=startup_timeout,
            socket=socket,
            token=token if token is not None else os.environ.get("TESSERACT_TOKEN") or None,
            allowed_hosts=allowed_host or (),
            allowed_origins=allowed_origin or (),
        )
    )
    _explain(served)
    # No newline at the end: existing scripts compare this byte for byte.
    sys.stdout.write(json.dumps(as_json(served, show_token=token == "auto")))


def as_json(served: serving.Served, show_token: bool = False) -> dict[str, Any]:
    """The document that `serve` prints. Ports are strings; `containers` has one element."""
    address = serving.address_of(served.container)
    container: dict[str, Any] = {
        "name": served.container_name,
        "port": None if address.port is None else str(address.port),
        "ip": address.ip,
        "networks": {
            name: {"ip": ip, "port": str(address.api_port)} for name, ip in sorted(served.container.networks.items())
        },
    }
    document: dict[str, Any] = {"container_name": served.container_name, "containers": [container]}
    if served.socket:
        document["socket"] = served.socket
    if show_token:
        document["token"] = served.token
    return document


def _how_open(served: serving.Served) -> str:
    return " and has the token." if served.token else "; --token makes clients identify themselves."


def _explain(served: serving.Served) -> None:
    address = serving.address_of(served.container)
    if served.url:
        logger.info("Serving Tesseract at %s", served.url)
    if served.url and not served.socket:
        logger.info("View Tesseract docs at %s/docs", served.url)
        if address.ip not in ("127.0.0.1", "::1"):
            logger.warning("Port %s is open to everyone who can reach this machine%s", address.port, _how_open(served))
        elif not served.token:
            logger.info("Every local user can reach this port; --socket or --token keeps it to you.")
    if served.debugger:
        logger.warning("Attach a debugger at %s; whoever reaches it can run code in the container", served.debugger)
    logger.info("Container ID: %s", served.container.id)
    logger.info("Container name: %s", served.container_name)
    logger.info("Command: %s", " ".join(served.container.command))
    if served.output:
        logger.info("Its output is collected in %s", served.output.directory)
        logger.info("and uploaded to %s when you stop it", served.output.shown_url)
    logger.info("To stop it: tesseract teardown %s", served.container_name)
