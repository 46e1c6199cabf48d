from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lexiseg.inference.sheet import COLUMNS, cell, save_sheet
from result_maps import odd_result


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 1])
def test_cells_are_laid_out_in_rows(count: int, tmp_path: Path) -> None:
    cells = [cell(odd_result("holes"), f"a very long name of picture {n} " * 9) for n in range(count)]

    with Image.open(save_sheet(cells, tmp_path)) as drawn:
        drawn.load()

    assert drawn.width // cells[0].width == min(count, COLUMNS)
    assert drawn.height // cells[0].height == -(-count // COLUMNS)
    assert len(np.unique(np.asarray(drawn).reshape(-1, 3), axis=0)) > 50


def test_results_of_any_form_make_a_cell_of_one_size() -> None:
    sizes = {cell(odd_result(kind), "猫").size for kind in ("void", "one pixel", "many words", "strange letters")}

    assert len(sizes) == 1
