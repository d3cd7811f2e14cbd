"""What other programs make of a notebook when they save it."""

import json
from collections.abc import Callable

KERNEL = {"display_name": "Python 3", "name": "python3"}


def jupyter_of_old(file: bytes) -> bytes:
    """Format 4.4 has no ids."""
    whole = json.loads(file)
    whole["nbformat_minor"] = 4
    for cell in whole["cells"]:
        del cell["id"]
    return json.dumps(whole, indent=1).encode()


def vs_code(file: bytes) -> bytes:
    """It names each cell's language, and writes what is ASCII only, in four columns."""
    whole = json.loads(file)
    for cell in whole["cells"]:
        cell["metadata"]["vscode"] = {"languageId": "python"}
    whole["metadata"]["kernelspec"] = {**KERNEL, "display_name": ".venv"}
    return json.dumps(whole, indent=4, ensure_ascii=True).encode()


def colab(file: bytes) -> bytes:
    """It writes format 4.0, with ids in the metadata, and names outputs; lines may be one text."""
    whole = json.loads(file)
    whole["nbformat_minor"] = 0
    whole["metadata"] = {"colab": {"provenance": []}, "kernelspec": KERNEL}
    for cell in whole["cells"]:
        cell["metadata"]["id"] = cell.pop("id")
        cell["metadata"]["outputId"] = "0123"
        cell["source"] = "".join(cell["source"])
    return json.dumps(whole).encode()


def colab_with_ids_of_its_own(file: bytes) -> bytes:
    whole = json.loads(colab(file))
    for number, cell in enumerate(whole["cells"]):
        cell["metadata"]["id"] = f"AbC{number:09d}"
    return json.dumps(whole).encode()


def without_tags(file: bytes) -> bytes:
    """Neither tags nor ids: a converter that keeps only what the cells say."""
    whole = json.loads(jupyter_of_old(file))
    for cell in whole["cells"]:
        cell["metadata"] = {}
    return json.dumps(whole).encode()


def line_ends_of_windows(file: bytes) -> bytes:
    return file.replace(b"\n", b"\r\n")


def line_ends_of_windows_inside(file: bytes) -> bytes:
    return file.replace(b"\\n", b"\\r\\n")


def with_a_mark(file: bytes) -> bytes:
    return b"\xef\xbb\xbf" + file


def with_the_same_id_twice(file: bytes) -> bytes:
    whole = json.loads(file)
    whole["cells"][0]["id"] = whole["cells"][-1]["id"]
    return json.dumps(whole).encode()


EDITORS: list[Callable[[bytes], bytes]] = [
    jupyter_of_old,
    vs_code,
    colab,
    colab_with_ids_of_its_own,
    without_tags,
    line_ends_of_windows,
    line_ends_of_windows_inside,
    with_a_mark,
    with_the_same_id_twice,
]
