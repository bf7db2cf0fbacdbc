"""`callboard keys`: its options. What it does is imported when it runs."""

from typing import Annotated

import typer

from services.cli.error_output import printed_errors
from services.cli.errors import CliError

keys_app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)


@keys_app.command("create")
def create_key(
    tenant: Annotated[str, typer.Option(help="The tenant that the key is for. It is created if it is new.")],
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
) -> None:
    """Create a key and print it. It is never shown again."""
    from services.cli.keys.run import Role, create

    with printed_errors():
        if role not in tuple(Role):
            raise CliError(f"--role: {role!r} is not one of {', '.join(Role)}")
        create(tenant, Role(role), name)


@keys_app.command("list")
def list_keys() -> None:
    """List all keys, without their secrets."""
    from services.cli.keys.run import show_all

    with printed_errors():
        show_all()


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]) -> None:
    """Revoke a key for good."""
    from services.cli.keys.run import revoke

    with printed_errors():
        revoke(key_id)
