//! Boxes: the grid and its anchors, overlap, suppression. The numbers are those of page 6.

use conv_core::ndarray::Array3;
use image_data::BBox;
use yolo_detect::{Anchor, ClassActivation, Detection, Error, Head, NmsScope, non_max_suppression};

use super::sheet::Sheet;

/// The rectangle of a box on paper: pixels of the picture, moved by `by`.
fn rect(bbox: BBox, by: [f64; 2]) -> [f64; 4] {
    let [x, y] = [f64::from(bbox.x1) + by[0], f64::from(bbox.y1) + by[1]];
    [x, y, f64::from(bbox.width()), f64::from(bbox.height())]
}

/// The cell and the anchor that predict the first car.
pub(crate) fn grid_and_anchors() -> Result<String, Error> {
    let (row, column) = (9, 6);
    let head = Head {
        layer: 0,
        anchors: vec![Anchor::grid_cells(4.0, 4.0)],
        classes: 1,
        class_activation: ClassActivation::Logistic,
        grid: [19, 19],
        network: [608, 608],
    };
    let mut tensor = Array3::<f32>::from_elem(head.shape(), -20.0);
    for (channel, value) in [
        0.0,
        0.0,
        (5.0_f32 / 4.0).ln(),
        (3.0_f32 / 4.0).ln(),
        2.0,
        2.0,
    ]
    .into_iter()
    .enumerate()
    {
        tensor[[channel, row, column]] = value;
    }
    let found = head.decode(tensor.view(), 0.5)?;

    let words = "Part of a grid of cells of 32 pixels. The cell in row 9 and column 6 contains the \
                 centre of the car's box. The anchor, four cells wide and high, is scaled to the box, \
                 five cells wide and three high.";
    let mut sheet = Sheet::new(430.0, 326.0, words);
    // Columns 2 to 12 and rows 6 to 12.
    let by = [34.0 - 64.0, 46.0 - 192.0];
    let place = |column: u16, row: u16| {
        let px = |cells: u16| 32.0 * f64::from(cells);
        [px(column) + by[0], px(row) + by[1]]
    };
    for line in 2..=13 {
        sheet.line("line", place(line, 6), place(line, 13));
    }
    for line in 6..=13 {
        sheet.line("line", place(2, line), place(13, line));
    }
    for cell in 2..13 {
        let [x, y] = place(cell, 6);
        sheet.text("quiet small", [x + 16.0, y - 8.0], &cell.to_string());
    }
    for cell in 6..13 {
        let [x, y] = place(2, cell);
        sheet.text("quiet small", [x - 14.0, y + 21.0], &cell.to_string());
    }
    let [x, y] = place(6, 9);
    sheet.rect("b", [x, y, 32.0, 32.0]);
    let centre = [x + 16.0, y + 16.0];
    sheet.rect("dashed", [centre[0] - 64.0, centre[1] - 64.0, 128.0, 128.0]);
    for prediction in &found {
        sheet.rect("a", rect(prediction.bbox, by));
    }
    sheet.dot(centre);
    for (class, x, text) in [
        ("b", 34.0, "the cell in charge"),
        ("dashed", 188.0, "its anchor"),
        ("a", 286.0, "the box found"),
    ] {
        sheet.rect(class, [x, 293.0, 14.0, 14.0]);
        sheet.text("start", [x + 21.0, 305.0], text);
    }
    Ok(sheet.svg())
}

/// The two boxes of the car, and their overlap.
pub(crate) fn iou() -> String {
    let first = BBox::from_xyxy(128.0, 256.0, 288.0, 352.0);
    let second = BBox::from_xyxy(152.0, 256.0, 312.0, 352.0);
    let both = BBox::from_xyxy(152.0, 256.0, 288.0, 352.0);
    let union = first.area() + second.area() - both.area();

    let words = "Two boxes of 160 by 96 pixels, one 24 pixels to the right of the other. The area of \
                 both, divided by the area of at least one, is 0.74.";
    let mut sheet = Sheet::new(420.0, 200.0, words);
    let by = [-10.0, -226.0];
    sheet.rect("both", rect(both, by));
    sheet.rect("a", rect(first, by));
    sheet.rect("b", rect(second, by));
    let ratio = format!(
        "IoU = {} / {} = {:.2}",
        both.area(),
        union,
        first.iou(second)
    );
    sheet.text("title", [210.0, 156.0], &ratio);
    sheet.text(
        "quiet",
        [210.0, 180.0],
        "covered by both / covered by at least one",
    );
    sheet.svg()
}

/// The four boxes of the example before and after suppression.
pub(crate) fn nms() -> String {
    let detection = |class, score, [x1, y1, x2, y2]: [f32; 4]| Detection {
        class,
        score,
        bbox: BBox::from_xyxy(x1, y1, x2, y2),
    };
    let found = [
        detection(0, 0.4375, [448.0, 96.0, 480.0, 176.0]),
        detection(1, 0.328_125, [444.0, 96.0, 484.0, 176.0]),
        detection(2, 0.656_25, [128.0, 256.0, 288.0, 352.0]),
        detection(2, 0.375, [152.0, 256.0, 312.0, 352.0]),
    ];
    let kept = non_max_suppression(&found, 0.45, NmsScope::PerClass);

    let words = "Before suppression there are four boxes: a person, a bicycle and two of the same \
                 car. After it, the car's box with the lower score is gone.";
    let mut sheet = Sheet::new(888.0, 384.0, words);
    for (left, title) in [(20.0, "above the threshold"), (454.0, "after suppression")] {
        sheet.text("title", [left + 207.0, 30.0], title);
        let by = [left - 118.0, -20.0];
        sheet.rect("line", [left, 44.0, 414.0, 320.0]);
        for (index, one) in found.iter().enumerate() {
            let suppressed = left > 100.0 && !kept.contains(&index);
            let class = ["a", "b", "c"][one.class];
            let place = rect(one.bbox, by);
            sheet.rect(if suppressed { "dashed" } else { class }, place);
            let name = ["person", "bicycle", "car"][one.class];
            let text = format!("{name} {:.2}", one.score);
            let [x, y, w, h] = place;
            // The second of two boxes has its label below.
            let label = if index % 2 == 0 {
                y - 8.0
            } else {
                y + h + 18.0
            };
            sheet.text(
                if suppressed { "quiet" } else { "" },
                [x + w / 2.0, label],
                &text,
            );
        }
    }
    sheet.svg()
}
