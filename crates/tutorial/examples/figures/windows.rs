//! Windows that slide: the kernel, padding, stride.

use conv_core::ndarray::{Array2, ArrayView2, array};
use conv_core::{CorrelateOptions, Error, Padding, Window, cross_correlate2d};

use super::sheet::Sheet;

/// The side of a cell.
const CELL: f64 = 34.0;

/// A grid of cells with its top left corner at `[x, y]`.
#[derive(Clone, Copy)]
struct Grid {
    x: f64,
    y: f64,
}

impl Grid {
    /// The rectangle of `size` cells from `row` and `column` on.
    fn cells(self, [row, column]: [usize; 2], [h, w]: [usize; 2]) -> [f64; 4] {
        let px = |cells: usize| CELL * cells as f64;
        [self.x + px(column), self.y + px(row), px(w), px(h)]
    }

    /// Draws the values, on a darker ground where `dark` says so.
    fn draw(self, sheet: &mut Sheet, values: ArrayView2<'_, f64>, dark: impl Fn(f64) -> bool) {
        for ((row, column), &value) in values.indexed_iter() {
            let place = self.cells([row, column], [1, 1]);
            sheet.rect(if dark(value) { "dark" } else { "cell" }, place);
            sheet.text("", middle(place), &value.to_string());
        }
    }

    /// Draws empty cells.
    fn empty(self, sheet: &mut Sheet, class: &str, [h, w]: [usize; 2]) {
        for row in 0..h {
            for column in 0..w {
                sheet.rect(class, self.cells([row, column], [1, 1]));
            }
        }
    }

    /// Writes a title over a grid of `columns` cells.
    fn title(self, sheet: &mut Sheet, columns: usize, title: &str) {
        let middle = self.x + CELL * columns as f64 / 2.0;
        sheet.text("title", [middle, self.y - 12.0], title);
    }
}

/// Where a text is centred in a rectangle.
fn middle([x, y, w, h]: [f64; 4]) -> [f64; 2] {
    [x + w / 2.0, y + h / 2.0 + 5.0]
}

/// The kernel of page 1 over one place of its picture, and the output there.
pub(crate) fn sliding_kernel() -> Result<String, Error> {
    let picture = Array2::from_shape_fn((6, 6), |(_, x)| if x < 3 { 10.0 } else { 0.0 });
    let kernel = array![[1.0, 0.0, -1.0], [1.0, 0.0, -1.0], [1.0, 0.0, -1.0]];
    let options = CorrelateOptions::default();
    let output = cross_correlate2d(picture.view(), kernel.view(), &options)?;

    let words = "A 3x3 kernel lies over rows 1 to 3 and columns 2 to 4 of a 6x6 picture. The sum of \
                 the products, 30, is the output in row 1 and column 2.";
    let mut sheet = Sheet::new(620.0, 290.0, words);
    let (left, over, right) = (
        Grid { x: 24.0, y: 50.0 },
        Grid { x: 292.0, y: 101.0 },
        Grid { x: 456.0, y: 84.0 },
    );
    left.title(&mut sheet, 6, "input, 6 x 6");
    left.draw(&mut sheet, picture.view(), |value| value == 0.0);
    sheet.rect("a", left.cells([1, 2], [3, 3]));
    sheet.text("", [260.0, 158.0], "∗");
    over.title(&mut sheet, 3, "kernel, 3 x 3");
    over.draw(&mut sheet, kernel.view(), |_| false);
    sheet.rect("a", over.cells([0, 0], [3, 3]));
    sheet.text("", [424.0, 158.0], "=");
    right.title(&mut sheet, 4, "output, 4 x 4");
    right.draw(&mut sheet, output.view(), |value| value == 0.0);
    sheet.rect("b", right.cells([1, 2], [1, 1]));
    sheet.text(
        "quiet",
        [310.0, 276.0],
        "10·1 + 0·0 + 0·(−1), in each of three rows: 30",
    );
    Ok(sheet.svg())
}

/// A 3x3 window on 6x6 pixels without padding and with one pixel of it.
pub(crate) fn padding() -> Result<String, Error> {
    let words = "Without padding, a 3x3 kernel turns 6x6 pixels into 4x4. With a border of one pixel \
                 of zeros, the output has 6x6 pixels again.";
    let mut sheet = Sheet::new(640.0, 606.0, words);
    for (top, padding, title) in [(50.0, 0, "Padding::Valid"), (312.0, 1, "Padding::Same")] {
        let window = Window {
            padding: Padding::all(padding),
            ..Window::new([3, 3])
        };
        let output = window.place("figure", [6, 6])?.output;
        let padded = 6 + 2 * padding;
        let input = Grid { x: 40.0, y: top };
        input.title(&mut sheet, padded, title);
        input.empty(&mut sheet, "pad", [padded; 2]);
        let inner = Grid {
            x: 40.0 + CELL * padding as f64,
            y: top + CELL * padding as f64,
        };
        inner.empty(&mut sheet, "dark", [6, 6]);
        for (row, column) in
            (0..padded).flat_map(|row| (0..padded).map(move |column| (row, column)))
        {
            let inside = |cell: usize| (padding..padded - padding).contains(&cell);
            if !(inside(row) && inside(column)) {
                sheet.text("quiet", middle(input.cells([row, column], [1, 1])), "0");
            }
        }
        sheet.rect("a", input.cells([0, 0], [3, 3]));
        let right = Grid {
            x: 400.0,
            y: top + CELL * (padded - output[0]) as f64 / 2.0,
        };
        right.title(
            &mut sheet,
            output[1],
            &format!("output, {} x {}", output[0], output[1]),
        );
        right.empty(&mut sheet, "cell", output);
        sheet.rect("b", right.cells([0, 0], [1, 1]));
        sheet.text("", [356.0, top + CELL * padded as f64 / 2.0 + 5.0], "→");
    }
    Ok(sheet.svg())
}

/// A 3x3 window that moves by two pixels over 7x7.
pub(crate) fn stride() -> Result<String, Error> {
    let window = Window {
        stride: [2, 2],
        ..Window::new([3, 3])
    };
    let output = window.place("figure", [7, 7])?.output;

    let words = "With a stride of 2, a 3x3 kernel has three positions in a row of seven pixels, which \
                 overlap by one column. The output has 3x3 pixels.";
    let mut sheet = Sheet::new(520.0, 316.0, words);
    let (input, right) = (Grid { x: 32.0, y: 50.0 }, Grid { x: 368.0, y: 118.0 });
    input.title(&mut sheet, 7, "input, 7 x 7, stride 2");
    input.empty(&mut sheet, "cell", [7, 7]);
    right.title(
        &mut sheet,
        output[1],
        &format!("output, {} x {}", output[0], output[1]),
    );
    right.empty(&mut sheet, "cell", output);
    for (position, class) in ["a", "b", "c"].into_iter().enumerate() {
        sheet.rect(class, input.cells([0, 2 * position], [3, 3]));
        sheet.rect(class, right.cells([0, position], [1, 1]));
    }
    sheet.text("", [320.0, 174.0], "→");
    Ok(sheet.svg())
}
