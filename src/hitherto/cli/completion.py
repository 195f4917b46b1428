"""`hitherto completion`: what shells need to complete commands and options."""

import sys
from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the script by which a shell completes commands, options and their values.

    Bash reads it from a folder of its own, zsh from one of its `fpath`, fish from its own:

        hitherto completion bash > ~/.local/share/bash-completion/completions/hitherto
        hitherto completion zsh > ~/.zfunc/_hitherto
        hitherto completion fish > ~/.config/fish/completions/hitherto.fish

    Parameters
    ----------
    shell:
        Which shell.
    """
    from hitherto.cli.app import app  # noqa: PLC0415  # which has this command

    sys.stdout.write(app.generate_completion(prog_name="hitherto", shell=shell))
