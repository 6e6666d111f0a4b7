"""docs/notebook.ipynb, carried out in this process: each cell with what it prints and draws.

To write its outputs anew, as tests/readme.py does: PYTHONPATH=. python tests/notebook.py
"""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
VARIES = "varies"  # the tag of a cell whose output depends on the machine


def read() -> dict[str, Any]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def carry_out(notebook: dict[str, Any], folder: Path) -> None:
    """Replace the outputs of every cell; `folder` stands in for the repository, with its results. Raises what a cell does."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    (folder / "results").symlink_to(ROOT / "results")
    (folder / "docs").mkdir()
    before, backend = Path.cwd(), mpl.get_backend()
    os.chdir(folder / "docs")
    mpl.use("agg")
    try:
        shell = InteractiveShell.instance(user_ns={})
        shell.history_manager.enabled = False
        for number, cell in enumerate(code_cells(notebook), 1):
            source, values = "".join(cell["source"]), []
            shell.display_trap.hook = values.append
            with capture_output() as said:
                shell.run_cell(source, store_history=False).raise_error()
            shown = [shell.display_formatter.format(value)[0] for value in values
                     if value is not None and not source.endswith(";")]
            cell |= {"execution_count": number, "outputs": [*outputs(said.stdout, shown, number), *figures()]}
    finally:
        InteractiveShell.clear_instance()
        os.chdir(before)
        mpl.use(backend)


def outputs(printed: str, values: list[dict[str, str]], number: int) -> list[dict[str, Any]]:
    """What a cell printed, and its last value in every form that it has"""
    said = [{"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)}] if printed else []
    return [*said, *({"output_type": "execute_result", "execution_count": number, "metadata": {},
                      "data": {form: text.splitlines(keepends=True) for form, text in value.items()}} for value in values)]


def figures() -> list[dict[str, Any]]:
    """What a cell drew, as Jupyter shows it at its end"""
    from matplotlib import pyplot

    found = []
    for number in pyplot.get_fignums():
        file = io.BytesIO()
        pyplot.figure(number).savefig(file, format="png", dpi=80, metadata={"Software": None})
        data = {"image/png": base64.b64encode(file.getvalue()).decode() + "\n", "text/plain": ["<a figure>"]}
        found.append({"output_type": "display_data", "metadata": {}, "data": data})
    pyplot.close("all")
    return found


def texts(cell: dict[str, Any]) -> list[str]:
    """What a cell says, without pictures"""
    return ["".join(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in cell["outputs"]]


def write() -> None:
    notebook = read()
    with tempfile.TemporaryDirectory() as folder:
        carry_out(notebook, Path(folder))
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
